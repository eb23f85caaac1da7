"""A workflow document as data that remembers where each part stood, so that errors can point at lines.

YAML 1.2's core types only: `on` and `no` are texts, dates are texts, and there are no tags. JSON is read
by the same parser. Anchors are refused: a short text must not unfold into a large document.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from workflows.errors import SpecProblem, SpecUnreadable

MAX_DOCUMENT_BYTES = 1024 * 1024
MAX_DOCUMENT_DEPTH = 48
#: Whole numbers of so many digits are the same everywhere: in a float of JSON's readers, in SQL and here.
MAX_INTEGER_DIGITS = 18
#: More than this is not read by anyone, and a document could hold hundreds of thousands.
MAX_PROBLEMS = 100

PathSteps = tuple[str | int, ...]


class _Loader(yaml.CSafeLoader):
    """libyaml with YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, Any]]] = {}  # noqa: RUF012  # PyYAML's own way of configuring


def _configure() -> None:
    core = {
        "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        "null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        "int": (r"^[-+]?[0-9]+$", "-+0123456789"),
        "float": (r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    }
    for name, (pattern, first) in core.items():
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(pattern), list(first))


_configure()

#: Of a number that YAML reads nothing is left: of a telephone number, a post code.
_LOSES_ITS_FORM = re.compile(r"\+[0-9]+|[-+]?0[0-9]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: JSON's escape of a character past U+FFFF, with the whole backslashes before it.
_SURROGATE_PAIR = re.compile(
    r"(?<!\\)(?P<before>(?:\\\\)*)\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Data, and the line and column (from 1) of each of its parts."""

    data: Mapping[str, Any]
    marks: Mapping[PathSteps, tuple[int, int]]
    #: Problems that do not keep the rest from being read, such as a key given twice.
    problems: tuple[SpecProblem, ...] = ()
    #: Where the data stand in a document that they are a part of.
    prefix: PathSteps = ()

    def part(self, path: PathSteps, data: Mapping[str, Any]) -> "Document":
        """What stands at `path`, as a document of its own that knows its lines."""
        return Document(data=data, marks=self.marks, prefix=(*self.prefix, *path))

    def problem(self, code: str, path: PathSteps, message: str) -> SpecProblem:
        """A problem at `path`, with the line of the nearest part that is there."""
        path = (*self.prefix, *path)
        known = path
        while known and known not in self.marks:
            known = known[:-1]
        line, column = self.marks.get(known, (None, None))
        return SpecProblem(code=code, message=message, path=json_path(path), line=line, column=column)


def json_path(path: PathSteps) -> str:
    """`("nodes", 2, "id")` as `$.nodes[2].id`; keys that are no identifiers are quoted."""
    return "$" + "".join(
        f".{step}"
        if isinstance(step, str) and _IDENTIFIER.fullmatch(step)
        else f"[{json.dumps(step, ensure_ascii=False)}]"
        for step in path
    )


def in_order(problems: Sequence[SpecProblem]) -> list[SpecProblem]:
    """The problems from the top of the document down, each once, and no more than people read."""
    ordered = sorted(
        dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0, problem.path)
    )
    if len(ordered) <= MAX_PROBLEMS:
        return ordered
    message = f"there are more problems than these {MAX_PROBLEMS}; mend these to see the others"
    return [*ordered[:MAX_PROBLEMS], SpecProblem(code="more_problems", message=message, path="$")]


def document_from_data(data: Mapping[str, Any]) -> Document:
    """A document that came as data, without lines."""
    return Document(data=data, marks={})


def parse_document(text: str | bytes) -> Document:
    """Parses YAML or JSON; raises SpecUnreadable with line and column."""
    content = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(content) > MAX_DOCUMENT_BYTES:
        raise SpecUnreadable(f"it has {len(content):,} bytes; {MAX_DOCUMENT_BYTES:,} are allowed")
    root = _compose(content)
    if root is None:
        raise SpecUnreadable("it is empty; a workflow has at least `name` and `nodes`")
    reader = _Reader()
    data = reader.read(root, ())
    if not isinstance(data, dict):
        raise SpecUnreadable("it is a list or a single value, not a mapping with `name` and `nodes`")
    return Document(data=data, marks=reader.marks, problems=tuple(reader.problems))


def _compose(content: bytes) -> yaml.Node | None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecUnreadable(f"it is not UTF-8 (byte {error.start})") from error
    try:
        text = _with_yaml_escapes(text)
        _check_events(text)
        return yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _unreadable(error, text) from error


def _with_yaml_escapes(text: str) -> str:
    """JSON that YAML reads too: of a character past U+FFFF JSON escapes two halves, which YAML refuses."""
    if _SURROGATE_PAIR.search(text) is None:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _SURROGATE_PAIR.sub(_whole_escape, text)


def _whole_escape(match: re.Match[str]) -> str:
    code_point = 0x10000 + ((int(match["high"], 16) - 0xD800) << 10) + int(match["low"], 16) - 0xDC00
    return f"{match['before']}\\U{code_point:08x}"


def _check_events(text: str) -> None:
    """Refuses deep nesting, anchors and tags before anything recurses: libyaml's composer overruns the C stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        reason = None
        if depth > MAX_DOCUMENT_DEPTH:
            reason = f"it nests deeper than {MAX_DOCUMENT_DEPTH} levels"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            reason = "anchors and aliases are not supported; repeat the part"
        if getattr(event, "tag", None) is not None:
            reason = "tags are not supported; write the value without one"
        if reason is not None and event.start_mark is not None:
            raise SpecUnreadable(reason, line=event.start_mark.line + 1, column=event.start_mark.column + 1)


def _unreadable(error: yaml.YAMLError, text: str) -> SpecUnreadable:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        reason = error.problem or error.context or "syntax error"
        return SpecUnreadable(reason, line=error.problem_mark.line + 1, column=error.problem_mark.column + 1)
    if isinstance(error, yaml.reader.ReaderError):
        # libyaml counts bytes.
        before = text.encode()[: error.position].decode(errors="replace")
        reason = f"the character {error.character:#06x} is not allowed: {error.reason}"
        return SpecUnreadable(reason, line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))
    return SpecUnreadable(str(error).splitlines()[0] if str(error) else "it is not YAML")


class _Reader:
    """Turns YAML nodes into data, noting the place of each."""

    def __init__(self) -> None:
        self.marks: dict[PathSteps, tuple[int, int]] = {}
        self.problems: list[SpecProblem] = []

    def read(self, node: yaml.Node, path: PathSteps) -> Any:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.marks.setdefault(path, (line, column))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, position)) for position, child in enumerate(node.value)]
        if node.tag.endswith(":int") and _LOSES_ITS_FORM.fullmatch(node.value[:80]):
            read = f"{node.value} is read as the number {int(node.value)}"
            self._add("looks_like_text", f"{read}; write that, or put it in quotes", path, line, column)
        return _scalar(node, line, column)

    def _mapping(self, node: yaml.MappingNode, path: PathSteps) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecUnreadable("a key must be a text", line=line, column=column)
            key = key_node.value
            if key in data:
                # The first one stays, so that the marks below it are its own.
                self._add(
                    "duplicate_key", f"the key {key!r} stands here a second time; keep one", (*path, key), line, column
                )
                continue
            self.marks[(*path, key)] = (line, column)
            data[key] = self.read(value_node, (*path, key))
        return data

    def _add(self, code: str, message: str, path: PathSteps, line: int, column: int) -> None:
        if len(self.problems) <= MAX_PROBLEMS:
            where = json_path(path)
            self.problems.append(SpecProblem(code=code, message=message, path=where, line=line, column=column))


def _scalar(node: yaml.Node, line: int, column: int) -> Any:
    kind = node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() == "true"
    if kind in {"int", "float"}:
        return _number(node.value, kind, line, column)
    if "\x00" in node.value:
        raise SpecUnreadable("a text has a NUL character, which cannot be stored", line=line, column=column)
    return node.value


def _number(text: str, kind: str, line: int, column: int) -> int | float:
    """A number that is the same everywhere; none is rounded or made infinite in silence."""
    if kind == "int" and len(text.lstrip("+-")) <= MAX_INTEGER_DIGITS:
        return int(text)
    if kind == "float" and math.isfinite(float(text)):
        return float(text)
    limit = (
        f"a whole number has at most {MAX_INTEGER_DIGITS} digits" if kind == "int" else "a number is at most 1.7e308"
    )
    raise SpecUnreadable(f"{limit}; write it in quotes to have it as a text", line=line, column=column)

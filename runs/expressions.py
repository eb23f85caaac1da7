"""CEL expressions and `{{ }}` texts: parsed once, their references known before anything runs.

CEL (https://cel.dev) is total: no loops, no clock, no randomness, so the interpreter may evaluate a
condition inside a workflow. A plain path (`ingest.output.text`), the common case, is followed directly:
documents are not copied into an evaluator to read one of their fields.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cel

from agentflow.digest import canonical_json
from runs.errors import ExpressionFailed, ExpressionInvalid

MAX_EXPRESSION_CHARACTERS = 4_096

_STRING = re.compile(r"""(?:[rRbB]{0,2})("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""")
_PATH = re.compile(r"(?<![\w.)\]])([A-Za-z_]\w*)((?:\s*\.\s*[A-Za-z_]\w*(?!\w*\s*\()|\[\d+\])*)")
_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*")
_STEP = re.compile(r"[A-Za-z_]\w*|\d+")
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_KEYWORDS = frozenset({"true", "false", "null", "in"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A path that an expression reads: `root.path[0].path[1]…`."""

    root: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.root, *self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression."""

    source: str
    references: tuple[Reference, ...]
    #: The one reference that the expression is, when it is nothing else.
    plain: Reference | None

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The value for these names; raises ExpressionFailed, which never quotes data."""
        if self.plain is not None:
            return follow(scope, self.plain, expression=self.source)
        try:
            return _to_json(_program(self.source).execute(dict(scope)))
        except KeyError as error:
            raise ExpressionFailed(expression=self.source, reason=f"there is no field {error.args[0]!r}") from error
        except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
            raise ExpressionFailed(expression=self.source, reason=type(error).__name__) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with `{{ expression }}` places: literal, expression, literal, … in turn."""

    source: str
    parts: tuple[str | Expression, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """What all the places read."""
        return tuple(ref for part in self.parts if isinstance(part, Expression) for ref in part.references)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """The text; or, when one place is the whole text, the place's value with its own type."""
        values = [part if isinstance(part, str) else part.evaluate(scope) for part in self.parts]
        if len(values) == 1:
            return values[0]
        return "".join(value if isinstance(value, str) else _as_text(value) for value in values)


@lru_cache(maxsize=4_096)
def parse_expression(source: str) -> Expression:
    """Parses CEL; raises ExpressionInvalid."""
    text = source.strip()
    if not text:
        raise ExpressionInvalid(expression=source, reason="it is empty")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        reason = f"it has {len(text)} characters; {MAX_EXPRESSION_CHARACTERS} are allowed"
        raise ExpressionInvalid(expression=text[:80] + "…", reason=reason)
    program = _program(text)
    plain = _reference(text) if _PLAIN_PATH.fullmatch(text) and text not in _KEYWORDS else None
    return Expression(source=text, references=_references(text, frozenset(program.variables())), plain=plain)


@lru_cache(maxsize=4_096)
def parse_template(source: str) -> Template:
    """Parses a text with `{{ }}`; raises ExpressionInvalid for what stands inside the braces."""
    parts: list[str | Expression] = []
    position = 0
    for match in _PLACEHOLDER.finditer(source):
        if match.start() > position:
            parts.append(source[position : match.start()])
        parts.append(parse_expression(match.group(1)))
        position = match.end()
    rest = source[position:]
    if "{{" in rest:
        raise ExpressionInvalid(expression=source[:120], reason="a `{{` has no `}}`")
    if rest or not parts:
        parts.append(rest)
    return Template(source=source, parts=tuple(parts))


def is_template(text: str) -> bool:
    """Whether a text has `{{`."""
    return "{{" in text


def follow(scope: Mapping[str, Any], reference: Reference, *, expression: str) -> Any:
    """The value at the end of a path; raises ExpressionFailed naming the step that is missing."""
    if reference.root not in scope:
        raise ExpressionFailed(expression=expression, reason=f"{reference.root!r} is not known here")
    value = scope[reference.root]
    walked = reference.root
    for step in reference.path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            kind = "a missing value" if value is None else f"a {_type_name(value)}"
            raise ExpressionFailed(expression=expression, reason=f"{walked!r} is {kind} without {step!r}")
        walked = f"{walked}.{step}"
    return value


@lru_cache(maxsize=4_096)
def _program(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except ValueError as error:
        lines = str(error).splitlines()
        reason = lines[0].rpartition("ERROR: ")[2] if lines else "it does not parse"
        raise ExpressionInvalid(expression=source, reason=reason) from error


def _references(text: str, variables: frozenset[str]) -> tuple[Reference, ...]:
    """The paths that an expression reads; what a macro binds (`items.map(i, …)`) is not read from outside."""
    without_strings = _STRING.sub(lambda match: '""'.ljust(len(match.group())), text)
    bound = set(_MACRO.findall(without_strings))
    found: dict[Reference, None] = {}
    for match in _PATH.finditer(without_strings):
        root = match.group(1)
        if root in variables and root not in bound and root not in _KEYWORDS:
            found[_reference(match.group())] = None
    return tuple(found)


def _reference(text: str) -> Reference:
    root, *path = _STEP.findall(text)
    return Reference(root=root, path=tuple(path))


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def _as_text(value: Any) -> str:
    return canonical_json(value).decode("utf-8", errors="replace")


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "mapping"}
    return names.get(type(value), type(value).__name__)

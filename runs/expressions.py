"""CEL expressions and `{{ }}` texts: parsed once, their references known before anything runs.

CEL (https://cel.dev) is total: no loops, no clock, no randomness, so the interpreter may evaluate a
condition inside a workflow. A plain path (`ingest.output.text`), the common case, is followed directly:
documents are not copied into an evaluator to read one of their fields.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import cel

from agentflow.digest import canonical_json
from runs.errors import ExpressionFailed, ExpressionInvalid

MAX_EXPRESSION_CHARACTERS = 4_096

#: Comments and string literals, of which raw ones know no escapes (CEL's language definition, "Syntax").
_TEXT = re.compile(
    r"""
      //[^\n]*
    | [bB]?[rR] (?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
    | [bB]? (?: \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    """,
    re.DOTALL | re.VERBOSE,
)
_PATH = re.compile(r"(?<![\w.)\]])([A-Za-z_]\w*)((?:\s*\.\s*[A-Za-z_]\w*(?!\w*\s*\()|\[\d+\])*)")
_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*")
_STEP = re.compile(r"[A-Za-z_]\w*|\d+")
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_KEYWORDS = frozenset({"true", "false", "null", "in"})
#: What `type(x)` may be compared with (CEL's language definition, "Values"); where it is not asked for, they are names
#: like any other, of an input for one.
_TYPES = frozenset({"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"})
_ASKS_FOR_TYPE = re.compile(r"(?<![\w.])type\s*\(")


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
            value = _program(self.source).execute(dict(scope))
        # The causes are dropped because they would quote data.
        except KeyError as error:
            raise ExpressionFailed(expression=self.source, reason=_missing_field(error, self.source)) from None
        except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ExpressionFailed(expression=self.source, reason=type(error).__name__) from None
        return _to_json(value, expression=self.source)


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
    # By searching and not by a pattern: that one takes quadratic time over a text full of `{{`.
    while (opening := source.find("{{", position)) >= 0:
        closing = source.find("}}", opening + 2)
        if closing < 0:
            raise ExpressionInvalid(expression=source[:120], reason="a `{{` has no `}}`")
        if opening > position:
            parts.append(source[position:opening])
        parts.append(parse_expression(source[opening + 2 : closing]))
        position = closing + 2
    rest = source[position:]
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
    code = _TEXT.sub(lambda match: '""'.ljust(len(match.group())), text)
    bound = [
        (macro.group(1), range(macro.start(1), _end_of_call(code, macro.end()))) for macro in _MACRO.finditer(code)
    ]
    reserved = _KEYWORDS | _TYPES if _ASKS_FOR_TYPE.search(code) else _KEYWORDS
    found: dict[Reference, None] = {}
    for match in _PATH.finditer(code):
        root = match.group(1)
        is_bound = any(root == name and match.start() in extent for name, extent in bound)
        if root in variables and not is_bound and match.group() not in reserved:
            found[_reference(match.group())] = None
    return tuple(found)


def _end_of_call(code: str, position: int) -> int:
    """Where the call that `position` stands in has its closing bracket; `code` has no strings or comments."""
    depth = 1
    while depth and position < len(code):
        depth += {"(": 1, ")": -1}.get(code[position], 0)
        position += 1
    return position


def _reference(text: str) -> Reference:
    root, *path = _STEP.findall(text)
    return Reference(root=root, path=tuple(path))


def _missing_field(error: KeyError, source: str) -> str:
    """Names the field where the expression itself does; a name that was computed is data."""
    name = str(error.args[0])
    return f"there is no field {name!r}" if name in source else "there is no field of the name that it computes"


def _to_json(value: Any, *, expression: str) -> Any:
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list):
        return [_to_json(item, expression=expression) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _to_json(item, expression=expression) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, datetime):
        return value.isoformat()
    raise ExpressionFailed(expression=expression, reason=f"it gives a {type(value).__name__} that JSON cannot hold")


def _as_text(value: Any) -> str:
    return canonical_json(value).decode("utf-8", errors="replace")


def _type_name(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "mapping"}
    return names.get(type(value), type(value).__name__)

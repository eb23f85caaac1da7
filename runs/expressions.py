"""CEL expressions and `{{ }}` texts: parsed once, their references and functions known before anything runs.

CEL (https://cel.dev) is total: no clock, no randomness, and every evaluation is metered (`runs.cel.evaluation`), so the
interpreter may evaluate a condition inside a workflow. A plain path (`ingest.output.text`), the common case, is
followed directly: documents are not copied into an evaluator to read one of their fields.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from agentflow.digest import canonical_json
from agentflow.meter import Meter, OverLimit
from runs.cel.evaluation import Frame, Program, program_of
from runs.cel.parser import parse
from runs.cel.references import paths_read, walk
from runs.cel.syntax import Call
from runs.cel.times import duration_text
from runs.cel.tokens import SyntaxFault
from runs.cel.values import TYPES, Fault, TypeName, described
from runs.errors import ExpressionFailed, ExpressionInvalid, ExpressionTooCostly

MAX_EXPRESSION_CHARACTERS = 4_096
#: What plans say since conditions must be true or false, and `/` is exact.
DIALECT = 2

_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*", re.ASCII)
#: Texts that someone means a boolean by: an error may quote them.
_BOOLEAN_TEXTS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "1", "0", ""})
#: Counts as one more for the meter when a value is written.
_MEMBERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the evaluations of one place may take together; the same at replay, so they change with DIALECT only."""

    #: Of about a microsecond each.
    steps: int
    #: Characters, bytes and items of lists that are made.
    memory: int

    def meter(self) -> Meter:
        """A meter that nothing has been spent of."""
        return Meter(steps=self.steps, memory=self.memory)


#: What scheduling evaluates, on small facts and in a workflow's task; and what is worth no thread.
SCHEDULING = Limits(steps=20_000, memory=400_000)
#: All arguments of a step, or outputs of a run.
STEP = Limits(steps=2_000_000, memory=32_000_000)


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
    _program: Program = field(repr=False, compare=False)

    def evaluate(self, scope: Mapping[str, Any], meter: Meter | None = None, *, dialect: int = DIALECT) -> Any:
        """The value for these names; `meter` is that of `SCHEDULING` unless one is given.

        Raises ExpressionFailed, which never quotes data, and ExpressionTooCostly.
        """
        if self.plain is not None:
            return follow(scope, self.plain, expression=self.source)
        paid = meter or SCHEDULING.meter()
        try:
            return _to_json(self._program(Frame(scope, paid, truncates=dialect < DIALECT)), paid)
        # The causes are dropped because they would quote data.
        except OverLimit as error:
            raise ExpressionTooCostly(expression=self.source, reason=error.reason) from None
        except Fault as error:
            raise ExpressionFailed(expression=self.source, reason=error.reason) from None
        except RecursionError:
            raise ExpressionFailed(expression=self.source, reason="its values are nested too deeply") from None
        except (ArithmeticError, ValueError):
            raise ExpressionFailed(expression=self.source, reason="a number in it is too large") from None

    def holds(self, scope: Mapping[str, Any], meter: Meter | None = None, *, dialect: int = DIALECT) -> bool:
        """Whether the condition is true; raises ExpressionFailed where it is neither true nor false.

        In the first dialect that meant false.
        """
        value = self.evaluate(scope, meter, dialect=dialect)
        if isinstance(value, bool) or dialect < DIALECT:
            return value is True
        shown = f" ({value!r})" if str(value).lower() in _BOOLEAN_TEXTS else ""
        reason = f"a condition must give true or false, and this gives {described(value)}{shown}"
        raise ExpressionFailed(expression=self.source, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text with `{{ expression }}` places: literal, expression, literal, … in turn."""

    source: str
    parts: tuple[str | Expression, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """What all the places read."""
        return tuple(ref for part in self.parts if isinstance(part, Expression) for ref in part.references)

    def evaluate(self, scope: Mapping[str, Any], meter: Meter | None = None, *, dialect: int = DIALECT) -> Any:
        """The text; or, when one place is the whole text, the place's value with its own type. Raises as Expression."""
        paid = meter or SCHEDULING.meter()
        values = [part if isinstance(part, str) else part.evaluate(scope, paid, dialect=dialect) for part in self.parts]
        if len(values) == 1:
            return values[0]
        return "".join([self._text(value, paid) for value in values])

    def _text(self, value: Any, meter: Meter) -> str:
        try:
            # Paid for before it is written.
            plain = _to_json(value, meter)
        except OverLimit as error:
            raise ExpressionTooCostly(expression=self.source[:120], reason=error.reason) from None
        return plain if isinstance(plain, str) else canonical_json(plain).decode("utf-8", errors="replace")


@lru_cache(maxsize=4_096)
def parse_expression(source: str) -> Expression:
    """Parses CEL, unknown functions included; raises ExpressionInvalid."""
    text = source.strip()
    if not text:
        raise ExpressionInvalid(expression=source, reason="it is empty")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        reason = f"it has {len(text)} characters; {MAX_EXPRESSION_CHARACTERS} are allowed"
        raise ExpressionInvalid(expression=text[:80] + "…", reason=reason)
    try:
        tree = parse(text)
    except SyntaxFault as error:
        raise ExpressionInvalid(expression=source, reason=error.reason) from None
    # Where no type is asked for, `int` is a name like any other, of an input for one.
    types_are_names = not any(isinstance(node, Call) and node.function == "type" for node in walk(tree))
    paths = paths_read(tree, not_read=frozenset() if types_are_names else TYPES)
    references = tuple(Reference(root=root, path=path) for root, path in dict.fromkeys(paths))
    plain = references[0] if _PLAIN_PATH.fullmatch(text) and len(references) == 1 else None
    program = program_of(tree, types_are_names=types_are_names)
    return Expression(source=text, references=references, plain=plain, _program=program)


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
            kind = "a missing value" if value is None else described(value)
            raise ExpressionFailed(expression=expression, reason=f"{walked!r} is {kind} without {step!r}")
        walked = f"{walked}.{step}"
    return value


def _to_json(value: Any, meter: Meter) -> Any:
    """A value as JSON has it; every appearance of a part is paid for, because each will be written."""
    meter.spend()
    if isinstance(value, list | tuple):
        meter.make(_MEMBERS * len(value))
        return [_to_json(item, meter) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise Fault("it gives a map whose keys are no texts, which JSON cannot hold")
        meter.make(sum(map(len, value)) + _MEMBERS * len(value))
        return {key: _to_json(item, meter) for key, item in value.items()}
    plain = _without_cel(value)
    if isinstance(plain, str):
        meter.make(len(plain))
    elif isinstance(plain, float) and not math.isfinite(plain):
        raise Fault("it gives a number that JSON cannot hold")
    return plain


def _without_cel(value: Any) -> Any:
    """What JSON has for a value that is no list and no map."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_text(value)
    return value.name if isinstance(value, TypeName) else value

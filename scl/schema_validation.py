"""Validates values by JSON Schema (Draft 2020-12) and tells every fault by its place, without repeating the value.

Messages say what the schema asks for; of the value they name types, counts and member names only, because
values may be personal data, and messages end up in logs, histories and API answers.
`format` is an annotation, as the draft has it; it is not checked. References are looked up in the schema itself
and in the drafts' own metaschemas, never on the network.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from agentflow.digest import Json, canonical_json
from agentflow.heavy_work import run_apart
from agentflow.json_schema.checks import SchemaFault, SchemaUnusable
from agentflow.json_schema.ecma_pattern import schema_pattern
from agentflow.json_schema.metaschema import form_faults
from agentflow.json_schema.registration import Steps, refused_parts
from agentflow.json_schema.schema import INLINE_STEPS, JsonSchema
from agentflow.meter import OverLimit
from scl.errors import InvalidSchema, SchemaViolation
from scl.pii_patterns import find_pii

#: More than this is not read by anyone; the rest is counted.
MAX_PROBLEMS = 50
_MAX_FAULTS_READ = 1000
#: A larger one is made ready in a thread.
_SMALL_SCHEMA_BYTES = 8 * 1024
_MAX_CONSTRAINT_CHARS = 120
_MAX_NAME_CHARS = 40
_MAX_NAMES_SHOWN = 3
_MAX_MISSING_SHOWN = 20
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_TYPE_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def check_schema(schema: Json) -> None:
    """Accepts a schema that `validate` can use.

    Raises InvalidSchema with every fault of the schema, references that lead nowhere included.
    """
    problems = [f"{_json_path(path)}: {reason}" for path, reason in schema_problems(schema, limit=_MAX_FAULTS_READ)]
    if problems:
        raise InvalidSchema(problems=_cut(problems))


def schema_problems(schema: Json, *, limit: int) -> list[tuple[Steps, str]]:
    """Place and reason of up to `limit` faults of what an author gives as a schema, in the order of the places."""
    try:
        faults = [(fault.path, fault_message(fault)) for fault in form_faults(schema, limit=limit)]
        found = faults or list(islice(refused_parts(schema), limit))
        if not found:
            SchemaCheck(schema)
    except SchemaUnusable as error:
        return [((), str(error))]
    except InvalidSchema as error:
        return [((), problem.removeprefix("$: ")) for problem in error.problems]
    except RecursionError:
        return [((), "is nested too deeply")]
    return sorted(dict.fromkeys(found), key=lambda problem: (_sort_key(problem[0]), problem[1]))


class SchemaCheck:
    """A schema made ready to check many values."""

    def __init__(self, schema: Json) -> None:
        """`schema` has passed `check_schema`; raises InvalidSchema for one that an earlier version let pass."""
        try:
            self._schema = JsonSchema(schema)
        except SchemaUnusable as error:
            raise InvalidSchema(problems=(f"$: {error}",)) from None
        except RecursionError as error:
            raise InvalidSchema(problems=("$: is nested too deeply",)) from error

    def check(self, value: Json, *, where: str) -> None:
        """Accepts a `value` of the schema's shape; raises as `validate`. Large values take seconds."""
        try:
            self._check(value, where=where, steps=None)
        except OverLimit as error:
            problem = f"$: {error.reason} to check {where}; give the schema fewer ways to the same place"
            raise InvalidSchema(problems=(problem,)) from None

    async def check_aside(self, value: Json, *, where: str, owner: str) -> None:
        """As `check`, at once where that takes little and else in a thread, in its owner's turn."""
        try:
            self._check(value, where=where, steps=INLINE_STEPS)
        except OverLimit:
            await run_apart(lambda: self.check(value, where=where), owner=owner)

    def _check(self, value: Json, *, where: str, steps: int | None) -> None:
        try:
            faults = self._schema.faults(value, limit=_MAX_FAULTS_READ, steps=steps)
        except SchemaUnusable as error:
            raise InvalidSchema(problems=(f"$: {error}",)) from None
        except RecursionError as error:
            problem = "$: is nested too deeply, or the schema refers to itself without an end"
            raise SchemaViolation(where=where, problems=(problem,)) from error
        if faults:
            raise SchemaViolation(where=where, problems=told(faults))


def validate(value: Json, schema: Json, *, where: str) -> None:
    """Accepts a `value` that has the shape that `schema` describes.

    `schema` has passed `check_schema`; `where` names the value in the error, such as `input of node 'analyze'`.
    Raises SchemaViolation with every fault, sorted by place, and InvalidSchema for a schema that cannot be used, or
    that would take more steps than the value is worth.
    """
    _made_ready(canonical_json(schema)).check(value, where=where)


async def validate_aside(value: Json, schema: Json, *, where: str, owner: str) -> None:
    """As `validate`; what takes long gets a thread, in its owner's turn."""
    content = canonical_json(schema)
    if len(content) <= _SMALL_SCHEMA_BYTES:
        ready = _made_ready(content)
    else:
        ready = await run_apart(lambda: _made_ready(content), owner=owner)
    await ready.check_aside(value, where=where, owner=owner)


@lru_cache(maxsize=256)
def _made_ready(content: bytes) -> SchemaCheck:
    return SchemaCheck(json.loads(content))


def told(faults: Iterable[SchemaFault]) -> tuple[str, ...]:
    """The faults in words: one line per distinct fault, sorted by place as a reader would walk through the value."""
    placed = {(_sort_key(fault.path), f"{_json_path(fault.path)}: {fault_message(fault)}") for fault in faults}
    return _cut([line for _, line in sorted(placed)])


def _cut(lines: list[str]) -> tuple[str, ...]:
    if len(lines) > MAX_PROBLEMS:
        return (*lines[:MAX_PROBLEMS], f"and at least {len(lines) - MAX_PROBLEMS} more")
    return tuple(lines)


def _sort_key(path: Steps) -> tuple[tuple[int, int, str], ...]:
    """Positions of an array by number, members of an object by name."""
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in path)


def _json_path(path: Iterable[str | int]) -> str:
    """`$.items[3].name`; names that are not identifiers are quoted, personal data in them is masked."""
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_NAME.match(part) and len(part) <= _MAX_NAME_CHARS:
            parts.append(f".{part}")
        else:
            parts.append(f"[{_shown_name(part)}]")
    return "$" + "".join(parts)


def fault_message(fault: SchemaFault) -> str:
    """What the schema asks for at this place."""
    return f"{_message(fault)}; {fault.hint}" if fault.hint else _message(fault)


def _message(fault: SchemaFault) -> str:
    keyword, constraint, found = fault.keyword, fault.rule, fault.value
    if keyword == "type":
        expected = constraint if isinstance(constraint, str) else " or ".join(constraint)
        return f"expected {expected}, found {_type_name(found)}"
    if keyword == "required":
        missing = [name for name in constraint if name not in found]
        more = f" and {len(missing) - _MAX_MISSING_SHOWN} more" if len(missing) > _MAX_MISSING_SHOWN else ""
        return f"lacks the required {', '.join(_bounded(name) for name in missing[:_MAX_MISSING_SHOWN])}{more}"
    if keyword == "additionalProperties":
        return f"has members that the schema does not allow{_unknown_names(fault.schema, found)}"
    if keyword in {"anyOf", "oneOf"}:
        quantity = "none" if fault.fits_none else "more than one"
        return f"matches {quantity} of the {len(constraint)} schemas of {keyword}"
    if keyword is None:
        return "nothing is allowed here (the schema is false)"
    return f"must satisfy {keyword}: {_bounded(constraint)}"


def _unknown_names(schema: Any, found: Any) -> str:
    """`, such as "x"`: the first names that the schema knows neither literally nor by pattern."""
    patterns = [schema_pattern(pattern) for pattern in schema.get("patternProperties", {})]
    unknown = sorted(set(found) - set(schema.get("properties", {})))
    shown = [_shown_name(name) for name in unknown if not any(pattern.is_found_in(name) for pattern in patterns)]
    return f", such as {', '.join(shown[:_MAX_NAMES_SHOWN])}"


def _shown_name(name: str) -> str:
    """A member's name in quotes, bounded, with personal data in it replaced by its kind."""
    shown = name
    for match in reversed(find_pii(name)):
        shown = f"{shown[: match.start]}({match.kind}){shown[match.end :]}"
    cut = shown if len(shown) <= _MAX_NAME_CHARS else f"{shown[:_MAX_NAME_CHARS]}…"
    return json.dumps(cut, ensure_ascii=False)


def _type_name(value: Any) -> str:
    return "null" if value is None else _TYPE_NAMES.get(type(value), type(value).__name__)


def _bounded(constraint: Any) -> str:
    """A part of the schema as JSON, cut where it grows long."""
    text = json.dumps(constraint, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_CONSTRAINT_CHARS else f"{text[:_MAX_CONSTRAINT_CHARS]}…"

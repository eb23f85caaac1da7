"""Validates values by JSON Schema (Draft 2020-12) and tells every fault by its place, without repeating the value.

Messages say what the schema asks for; of the value they name types, counts and member names only, because
values may be personal data, and messages end up in logs, histories and API answers.
`format` is an annotation, as the draft has it; it is not checked. References are looked up in the schema itself
and in the drafts' own metaschemas, never on the network.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, UnknownType, ValidationError
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # ships no type information
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, SchemaRegistry, SchemaResource

from agentflow.digest import Json
from scl.errors import InvalidSchema, SchemaViolation
from scl.pii_patterns import find_pii

#: The drafts' metaschemas, which ship with jsonschema; it fetches nothing.
_OFFLINE: SchemaRegistry = REGISTRY
#: More than this is not read by anyone; the rest is counted.
MAX_PROBLEMS = 50
_MAX_FAULTS_READ = 1000
_MAX_CONSTRAINT_CHARS = 120
_MAX_NAME_CHARS = 40
_MAX_NAMES_SHOWN = 3
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_TYPE_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def check_schema(schema: Json) -> None:
    """Accepts a schema that `validate` can use.

    Raises InvalidSchema with every fault of the schema, references that lead nowhere included.
    """
    document: Any = schema
    try:
        Draft202012Validator.check_schema(document)
    except SchemaError:
        metaschema = Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=_OFFLINE)
        faults = list(islice(metaschema.iter_errors(document), _MAX_FAULTS_READ))
        problems = _problems(faults) or ("$: a pattern is not a valid regular expression",)
        raise InvalidSchema(problems=problems) from None
    except RecursionError as error:
        raise InvalidSchema(problems=("$: is nested too deeply",)) from error
    except (ValueError, OverflowError) as error:
        raise InvalidSchema(problems=("$: a reference or pattern cannot be used",)) from error
    dangling = sorted(set(_dangling_references(DRAFT202012.create_resource(document))))
    if dangling:
        raise InvalidSchema(problems=[f"$ref {_bounded(reference)} leads nowhere" for reference in dangling])


class SchemaCheck:
    """A schema made ready to check many values."""

    def __init__(self, schema: Json) -> None:
        """`schema` has passed `check_schema`."""
        document: Any = schema
        self._validator = Draft202012Validator(document, registry=_OFFLINE)

    def check(self, value: Json, *, where: str) -> None:
        """Accepts a `value` of the schema's shape; raises as `validate`."""
        try:
            faults = list(islice(self._validator.iter_errors(value), _MAX_FAULTS_READ))
        except (Unresolvable, UnknownType, re.error) as error:
            raise InvalidSchema(problems=(f"$: {type(error).__name__} while validating {where}",)) from error
        except RecursionError as error:
            problem = "$: is nested too deeply, or the schema refers to itself without an end"
            raise SchemaViolation(where=where, problems=(problem,)) from error
        if faults:
            raise SchemaViolation(where=where, problems=_problems(faults))


def validate(value: Json, schema: Json, *, where: str) -> None:
    """Accepts a `value` that has the shape that `schema` describes.

    `schema` has passed `check_schema`; `where` names the value in the error, such as `input of node 'analyze'`.
    Raises SchemaViolation with every fault, sorted by place, and InvalidSchema for a schema that cannot be used.
    """
    SchemaCheck(schema).check(value, where=where)


def _dangling_references(root: SchemaResource) -> Iterator[str]:
    """The references below `root` that nothing answers to."""
    resolver = _OFFLINE.with_resource(root.id() or "", root).resolver_with_root(root)
    pending = [(root, resolver)]
    while pending:
        resource, resolver = pending.pop()
        contents = resource.contents
        reference = contents.get("$ref") if isinstance(contents, dict) else None
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except (Unresolvable, ValueError):
                yield reference
        pending.extend((part, resolver.in_subresource(part)) for part in resource.subresources())


def _problems(faults: Iterable[ValidationError]) -> tuple[str, ...]:
    """One line per distinct fault, sorted by place as a reader would walk through the value."""
    placed = {(_sort_key(fault), f"{_json_path(fault)}: {_message(fault)}") for fault in faults}
    lines = [line for _, line in sorted(placed)]
    if len(lines) > MAX_PROBLEMS:
        return (*lines[:MAX_PROBLEMS], f"and at least {len(lines) - MAX_PROBLEMS} more")
    return tuple(lines)


def _sort_key(fault: ValidationError) -> tuple[tuple[int, int, str], ...]:
    """Positions of an array by number, members of an object by name."""
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, str(part)) for part in fault.absolute_path)


def _json_path(fault: ValidationError) -> str:
    """`$.items[3].name`; names that are not identifiers are quoted, personal data in them is masked."""
    parts = []
    for part in fault.absolute_path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_NAME.match(part) and len(part) <= _MAX_NAME_CHARS:
            parts.append(f".{part}")
        else:
            parts.append(f"[{_shown_name(part)}]")
    return "$" + "".join(parts)


def _message(fault: ValidationError) -> str:
    """What the schema asks for at this place."""
    # jsonschema types these as anything or not set yet; a fault that was yielded has them.
    keyword: Any = fault.validator
    constraint: Any = fault.validator_value
    found: Any = fault.instance
    if keyword == "type":
        expected = constraint if isinstance(constraint, str) else " or ".join(constraint)
        return f"expected {expected}, found {_type_name(found)}"
    if keyword == "required":
        missing = [name for name in constraint if name not in found]
        return f"lacks the required {', '.join(_bounded(name) for name in missing)}"
    if keyword == "additionalProperties":
        return f"has members that the schema does not allow{_unknown_names(fault.schema, found)}"
    if keyword in {"anyOf", "oneOf"}:
        quantity = "none" if fault.context else "more than one"
        return f"matches {quantity} of the {len(constraint)} schemas of {keyword}"
    if keyword is None:
        # jsonschema gives the place of the containing value for a member or item whose schema is `false`.
        return "nothing is allowed here or directly below (the schema is false)"
    return f"must satisfy {keyword}: {_bounded(constraint)}"


def _unknown_names(schema: Any, found: Any) -> str:
    """`, such as "x"`: the first names that the schema knows neither literally nor by pattern."""
    patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", {})]
    unknown = sorted(set(found) - set(schema.get("properties", {})))
    shown = [_shown_name(name) for name in unknown if not any(pattern.search(name) for pattern in patterns)]
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

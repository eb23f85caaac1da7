"""The keywords of JSON Schema, each as a check of values (Core and Validation, draft 2020-12)."""

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from referencing.exceptions import Unresolvable

from agentflow.json_schema.checks import Path, Run, SchemaUnusable
from agentflow.json_schema.combining_keywords import (
    all_of,
    any_of,
    dependent_schemas,
    if_keyword,
    not_keyword,
    one_of,
    unevaluated_keyword,
)
from agentflow.json_schema.member_keywords import (
    additional_keyword,
    contains_keyword,
    items_keyword,
    names_keyword,
    pattern_properties,
    prefix_keyword,
    properties_keyword,
)
from agentflow.json_schema.place import Place
from agentflow.meter import Meter


def _reference(place: Place) -> None:
    try:
        found = place.resolver.lookup(place.rule)
    except (Unresolvable, ValueError):
        raise SchemaUnusable(f"the reference {place.rule!r} leads nowhere") from None
    target = place.compile(found.contents, found.resolver)
    place.node.checks.append(target.check)
    place.node.evaluated.append(target.seen)


def _type(place: Place) -> None:
    node, kinds = place.node, [place.rule] if isinstance(place.rule, str) else list(place.rule)
    if unknown := [kind for kind in kinds if kind not in _TYPES]:
        raise SchemaUnusable(f"there is no type {unknown[0]!r}")

    is_first, *others = [_TYPES[kind] for kind in kinds] or [_is_nothing]

    def check(run: Run, value: Any, path: Path) -> bool:
        if is_first(value):
            return True
        run.meter.spend(len(others) // 8)
        return any(is_other(value) for is_other in others) or run.fault(node, "type", value, path)

    node.checks.append(check)


def _one_of_values(place: Place) -> None:
    node, keyword = place.node, place.keyword
    values = [place.rule] if keyword == "const" else list(place.rule)
    free = Meter(steps=10_000_000)
    wanted = {_frozen(value, free) for value in values}
    has_parts = any(isinstance(value, list | Mapping) for value in values)

    def check(run: Run, value: Any, path: Path) -> bool:
        if isinstance(value, list | Mapping) and not has_parts:
            return run.fault(node, keyword, value, path)
        return _frozen(value, run.meter) in wanted or run.fault(node, keyword, value, path)

    node.checks.append(check)


def _pattern(place: Place) -> None:
    pattern = place.pattern(place.rule)

    def holds(run: Run, value: str) -> bool:
        run.meter.spend(pattern.steps(value))
        return pattern.is_found_in(value)

    place.adds(str, holds)


def _unique(place: Place) -> None:
    def holds(run: Run, value: list[Any]) -> bool:
        return len({_frozen(item, run.meter) for item in value}) == len(value)

    if place.rule:
        place.adds(list, holds)


def _required(place: Place) -> None:
    names = list(place.rule)

    def holds(run: Run, value: Any) -> bool:
        run.meter.spend(len(names) // 8)
        return all(name in value for name in names)

    place.adds(Mapping, holds)


def _dependent(place: Place) -> None:
    needs = {name: list(others) for name, others in place.rule.items()}
    weight = sum(map(len, needs.values())) + len(needs)

    def holds(run: Run, value: Any) -> bool:
        run.meter.spend(weight // 8)
        return all(other in value for name, others in needs.items() if name in value for other in others)

    place.adds(Mapping, holds)


def _bound(kind: Any, holds: Callable[[Any, Any], bool]) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        rule = place.rule
        place.adds(kind, lambda _, value: holds(value, rule))

    return make


def _is_multiple(value: float, of: float) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    # By their decimal digits: 0.3 is a multiple of 0.1.
    return Fraction(repr(value)) % Fraction(repr(of)) == 0


def _frozen(value: Any, meter: Meter) -> str:
    """What equal values share: 1 and 1.0 do, 1 and true do not.

    A text, because Python's hash of texts is a secret of the process; of numbers and tuples, many can share one.
    """
    meter.spend()
    if isinstance(value, list):
        return _paid(f"[{','.join([_frozen(item, meter) for item in value])}]", meter)
    if isinstance(value, Mapping):
        members = sorted(f"{json.dumps(name)}:{_frozen(item, meter)}" for name, item in value.items())
        return _paid(f"{{{','.join(members)}}}", meter)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _paid(json.dumps(value), meter) if isinstance(value, str) else str(value)


def _paid(text: str, meter: Meter) -> str:
    """`text`, paid for."""
    meter.read(len(text))
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_nothing(_value: Any) -> bool:
    return False


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    # The first of the two is what nearly all are, and found much sooner.
    "object": lambda value: isinstance(value, dict) or isinstance(value, Mapping),  # noqa: SIM101
}
_NUMBER = (int, float)
#: In the order in which they are checked; `unevaluated…` come last, because they ask what the others have seen.
KEYWORDS: dict[str, Callable[[Place], None]] = {
    "$ref": _reference,
    "$dynamicRef": _reference,
    "type": _type,
    "enum": _one_of_values,
    "const": _one_of_values,
    "multipleOf": _bound(_NUMBER, _is_multiple),
    "maximum": _bound(_NUMBER, lambda value, rule: value <= rule),
    "exclusiveMaximum": _bound(_NUMBER, lambda value, rule: value < rule),
    "minimum": _bound(_NUMBER, lambda value, rule: value >= rule),
    "exclusiveMinimum": _bound(_NUMBER, lambda value, rule: value > rule),
    "maxLength": _bound(str, lambda value, rule: len(value) <= rule),
    "minLength": _bound(str, lambda value, rule: len(value) >= rule),
    "maxItems": _bound(list, lambda value, rule: len(value) <= rule),
    "minItems": _bound(list, lambda value, rule: len(value) >= rule),
    "maxProperties": _bound(Mapping, lambda value, rule: len(value) <= rule),
    "minProperties": _bound(Mapping, lambda value, rule: len(value) >= rule),
    "pattern": _pattern,
    "uniqueItems": _unique,
    "required": _required,
    "dependentRequired": _dependent,
    "properties": properties_keyword,
    "patternProperties": pattern_properties,
    "additionalProperties": additional_keyword,
    "propertyNames": names_keyword,
    "prefixItems": prefix_keyword,
    "items": items_keyword,
    "contains": contains_keyword,
    "allOf": all_of,
    "anyOf": any_of,
    "oneOf": one_of,
    "not": not_keyword,
    "if": if_keyword,
    "dependentSchemas": dependent_schemas,
    "unevaluatedItems": unevaluated_keyword,
    "unevaluatedProperties": unevaluated_keyword,
}

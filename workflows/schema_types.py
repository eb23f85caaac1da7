"""As much of JSON Schema's typing as documents can be checked with before they run: paths and types.

Whatever is not certain is `None`, "unknown", and passes; the values are validated again when they are there.
"""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def schema_at(schema: Schema | None, path: tuple[str, ...]) -> tuple[Schema | None, int | None]:
    """The schema of the value at `path`, and how many steps of it are known to exist.

    The second part is None when the whole path may exist, else the position of the step that cannot.
    """
    current = schema
    for position, step in enumerate(path):
        if current is None:
            return None, None
        types = types_of(current)
        holders = {"object", "array"} if step.isdigit() else {"object"}
        if types is not None and not types & holders:
            return None, position
        known, current = _child(current, step)
        if not known:
            return None, position
    return current, None


def types_of(schema: Schema | None) -> frozenset[str] | None:
    """The JSON types that a schema admits; None when it does not say."""
    # A property's schema may be `true` or `false` as well.
    if not isinstance(schema, Mapping):
        return None
    named = schema.get("type")
    if isinstance(named, str):
        return frozenset({named})
    if isinstance(named, list):
        return frozenset(str(name) for name in named)
    return None


def json_type(value: Any) -> str:
    """The type of a JSON value by JSON Schema's name."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {str: "string", int: "integer", float: "number", dict: "object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "array")


def can_hold(source: Schema | None, target: Schema | None) -> bool:
    """Whether a value of schema `source` may fit where `target` is asked for."""
    given, wanted = types_of(source), types_of(target)
    if given is None or wanted is None:
        return True
    if "integer" in given and "number" in wanted:
        return True
    # A number may turn out to be whole.
    if "number" in given and "integer" in wanted:
        return True
    return bool(given & wanted)


def describe(schema: Schema | None) -> str:
    """The types for people: `string`, `array or null`."""
    types = types_of(schema)
    return " or ".join(sorted(types)) if types else "value"


def _child(schema: Schema, step: str) -> tuple[bool, Schema | None]:
    if step.isdigit():
        # With `prefixItems`, `items` speaks of the rest only.
        items = None if "prefixItems" in schema else schema.get("items")
        return True, items if isinstance(items, Mapping) else None
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return True, None
    if step in properties:
        child = properties[step]
        return True, child if isinstance(child, Mapping) else None
    if "patternProperties" in schema:
        return True, None
    additional = schema.get("additionalProperties", True)
    if additional is False:
        return False, None
    return True, additional if isinstance(additional, Mapping) else None

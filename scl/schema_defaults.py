"""Applies the `default` of a JSON Schema, which Draft 2020-12 makes an annotation, to what is left out.

What is left out gets its `default`; an object that is left out is made where its members' defaults make a whole of it.
Members of objects and items of lists are filled, through `allOf` and references inside the schema. What stands under
`anyOf`, `oneOf`, `if` and patterns is not looked at, because which of it applies depends on the values. Values that
came by a default are not filled through references: a schema that refers to itself would go on for ever.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from agentflow.digest import canonical_json
from agentflow.json_schema.subschemas import subschemas
from agentflow.meter import Meter, OverLimit
from scl.errors import InvalidSchema

_MISSING = object()
#: What defaults may take, and make, for one value.
_MAX_STEPS = 5_000_000
_MAX_MADE_CHARACTERS = 16_000_000


def with_defaults(value: Any, schema: Any) -> Any:
    """A copy of `value` in which what is left out has the schema's defaults; `schema` has passed `check_schema`.

    Raises InvalidSchema where a small value would become a huge one.
    """
    try:
        return _Filling(schema).filled(copy.deepcopy(value), schema, set(), is_made=False)
    except OverLimit as error:
        raise InvalidSchema(problems=(f"$: {error.reason} to apply its defaults to this value",)) from None


def defaults_in(schema: Any) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Every part of a schema that has a `default`, with its path."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while pending:
        path, part = pending.pop()
        if not isinstance(part, Mapping):
            continue
        if "default" in part:
            yield path, part
        pending.extend(((*path, *steps), below) for steps, below in subschemas(part))


class _Filling:
    """One value being filled by one schema, each visit and each default paid for."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._meter = Meter(steps=_MAX_STEPS, memory=_MAX_MADE_CHARACTERS)
        #: Part of the schema → its default, and how much that is.
        self._defaults: dict[int, tuple[Any, int]] = {}

    def filled(self, value: Any, schema: Any, followed: set[str], *, is_made: bool) -> Any:
        """`value`, changed in place; each reference is followed once for a value, so that circles end."""
        self._meter.spend()
        if not isinstance(schema, Mapping):
            return value
        for part in _also(schema, self._root, followed, is_made=is_made):
            value = self.filled(value, part, followed, is_made=is_made)
        properties, items = schema.get("properties"), schema.get("items")
        if isinstance(value, dict) and isinstance(properties, Mapping):
            self._meter.spend(len(properties))
            for name, part in properties.items():
                given = value[name] if name in value else self._default_of(part)
                if given is not _MISSING:
                    value[name] = self.filled(given, part, set(), is_made=is_made or name not in value)
        elif isinstance(value, list) and isinstance(items, Mapping):
            # With `prefixItems`, `items` speaks of the rest only.
            first = len(schema.get("prefixItems", []))
            value[first:] = [self.filled(item, items, set(), is_made=is_made) for item in value[first:]]
        return value

    def _default_of(self, schema: Any) -> Any:
        # The same for each value that lacks it: worked out once.
        if id(schema) not in self._defaults:
            default = _default_of(schema, self._root)
            size = 0 if default is _MISSING else len(canonical_json(default))
            self._defaults[id(schema)] = default, size
        default, size = self._defaults[id(schema)]
        if default is _MISSING:
            return default
        self._meter.make(size)
        return copy.deepcopy(default)


def _also(schema: Mapping[str, Any], root: Any, followed: set[str], *, is_made: bool) -> Iterator[Any]:
    """What else is said of the value that a schema is about."""
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in followed and not is_made:
        followed.add(reference)
        yield _target(reference, root)
    yield from schema.get("allOf", [])


def _default_of(schema: Any, root: Any) -> Any:
    """What stands for a value that is left out; _MISSING where the schema gives none."""
    followed: set[str] = set()
    part = schema
    while isinstance(part, Mapping):
        if "default" in part:
            return copy.deepcopy(part["default"])
        reference = part.get("$ref")
        if not isinstance(reference, str) or reference in followed:
            break
        followed.add(reference)
        part = _target(reference, root)
    return _made_of_members(schema)


def _made_of_members(schema: Any) -> Any:
    """An object of its members' defaults, where they are all that it requires; references are not followed."""
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return _MISSING
    if "$ref" in schema or schema.get("type") != "object":
        return _MISSING
    found = {
        name: default
        for name, part in schema["properties"].items()
        if (default := _plain_default_of(part)) is not _MISSING
    }
    return found if found and set(schema.get("required", [])) <= set(found) else _MISSING


def _plain_default_of(schema: Any) -> Any:
    if isinstance(schema, Mapping) and "default" in schema:
        return copy.deepcopy(schema["default"])
    return _made_of_members(schema)


def _target(reference: str, root: Any) -> Any:
    """What a reference inside the schema leads to; None for any other."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    part = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, Mapping):
            part = part.get(name)
        elif isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        else:
            return None
    return part

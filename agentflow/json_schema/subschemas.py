"""Where schemas stand in a schema."""

from collections.abc import Iterator, Mapping
from typing import Any

#: Keywords whose value is a schema, a mapping of schemas, a list of schemas.
_ONE = (
    *("items", "additionalProperties", "contains", "contentSchema", "not", "if", "then", "else", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
#: `definitions` is what `$defs` was called before 2019-09, and still a place for schemas.
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("prefixItems", "allOf", "anyOf", "oneOf")


def subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The schemas right inside of `schema`, each with the steps that lead there."""
    yield from (((keyword,), schema[keyword]) for keyword in _ONE if keyword in schema)
    for keyword in _BY_NAME:
        if isinstance(inside := schema.get(keyword), Mapping):
            yield from (((keyword, name), part) for name, part in inside.items())
    for keyword in _LISTED:
        if isinstance(inside := schema.get(keyword), list):
            yield from (((keyword, number), part) for number, part in enumerate(inside))

"""Whether something has the form of a JSON Schema: Draft 2020-12's metaschema, counted as every schema is.

The draft spreads it over vocabularies that find each other by `$dynamicRef`, so that each part of a schema is gone
through by all of them. Here they are one schema, which refers to itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from agentflow.json_schema.checks import SchemaFault, SchemaUnusable
from agentflow.json_schema.schema import OFFLINE, JsonSchema

_DRAFT = "https://json-schema.org/draft/2020-12/"
#: Values that a schema may be made of, of which a check takes about a second.
MAX_SCHEMA_PARTS = 100_000
#: What older drafts write: keyword, type of its value → how Draft 2020-12 says it.
_OLDER_FORMS = {
    ("items", list): "a list of `items` is called `prefixItems` in Draft 2020-12, and `additionalItems` is `items`",
    ("exclusiveMinimum", bool): "in Draft 2020-12 it is the bound itself, instead of `minimum`",
    ("exclusiveMaximum", bool): "in Draft 2020-12 it is the bound itself, instead of `maximum`",
    ("required", bool): "in Draft 2020-12 it is the list of names beside `properties`",
    ("$recursiveAnchor", bool): "`$recursiveAnchor` is not in Draft 2020-12; leave it out, and write `$ref`",
    ("$id", str): "a name inside the schema is an `$anchor` in Draft 2020-12",
}
#: Keywords whose members have names of the author's.
_NAMES_WITHIN = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def form_faults(schema: Any, *, limit: int) -> list[SchemaFault]:
    """Where `schema` has not the form of a schema, up to `limit` faults.

    Raises SchemaUnusable for one of more than MAX_SCHEMA_PARTS values, and RecursionError for one nested too deeply.
    """
    if parts_in(schema) > MAX_SCHEMA_PARTS:
        raise SchemaUnusable(f"it is made of more than {MAX_SCHEMA_PARTS:,} values")
    return [replace(fault, hint=_hint(fault)) for fault in _metaschema().faults(schema, limit=limit)]


@cache
def _metaschema() -> JsonSchema:
    whole: Any = OFFLINE.contents(f"{_DRAFT}schema")
    vocabularies: list[Any] = [whole, *(OFFLINE.contents(_DRAFT + part["$ref"]) for part in whole["allOf"])]
    merged = {
        keyword: {name: part for each in vocabularies for name, part in each.get(keyword, {}).items()}
        for keyword in ("properties", "$defs")
    }
    return JsonSchema(_pointing_inside({"type": whole["type"], **merged}))


def _pointing_inside(part: Any) -> Any:
    """A copy whose references to a vocabulary or, by `$dynamicRef`, to the metaschema lead to the merged one."""
    if isinstance(part, list):
        return [_pointing_inside(item) for item in part]
    if not isinstance(part, Mapping):
        return part
    if isinstance(part.get("$dynamicRef"), str):
        return {"$ref": "#"}
    return {
        name: f"#{value.partition('#')[2]}" if name == "$ref" and isinstance(value, str) else _pointing_inside(value)
        for name, value in part.items()
    }


def parts_in(schema: Any) -> int:
    """How many values it is made of; counted no further than one more than MAX_SCHEMA_PARTS."""
    count, pending = 0, [schema]
    while pending:
        part = pending.pop()
        count += 1
        inside = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
        if count + len(pending) + len(inside) > MAX_SCHEMA_PARTS:
            return MAX_SCHEMA_PARTS + 1
        pending.extend(inside)
    return count


def _hint(fault: SchemaFault) -> str | None:
    keyword = fault.path[-1] if fault.path else None
    if fault.path[-2:-1] and fault.path[-2] in _NAMES_WITHIN:
        return None
    return _OLDER_FORMS.get((str(keyword), type(fault.value)))

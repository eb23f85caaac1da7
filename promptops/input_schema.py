"""Inputs against a prompt's JSON Schema: Draft 2020-12, all problems at once, nothing fetched, no value quoted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentflow.digest import Json, canonical_json
from agentflow.json_schema.checks import SchemaFault, SchemaUnusable
from agentflow.json_schema.ecma_pattern import schema_pattern
from agentflow.json_schema.metaschema import form_faults
from agentflow.json_schema.registration import refused_parts
from agentflow.json_schema.schema import JsonSchema
from agentflow.meter import OverLimit
from promptops.errors import InputSchemaInvalid
from promptops.models import InputProblem

MAX_SCHEMA_BYTES = 256 * 1024

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAX_PROBLEMS = 100
_MAX_QUOTED_RULE = 200
_MAX_QUOTED_KEY = 100

#: Members and required names of a schema that is checked in some hundred microseconds.
_MAX_FLAT_NAMES = 64
#: What is checked at a glance, on an object and on its members.
_FLAT_KEYWORDS = frozenset(
    ["$schema", "title", "description", "type", "properties", "required", "additionalProperties"]
)
_FLAT_MEMBER_KEYWORDS = frozenset(
    ["title", "description", "type", "default", "examples", "minLength", "maxLength", "minimum", "maximum", "format"]
)

#: With these beside `properties`, other parts of the schema may name further inputs.
_COMPOSING_KEYWORDS = frozenset(
    ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas"]
)


class InputSchema:
    """A schema made ready once and used for every rendering."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        """Raises InputSchemaInvalid for a schema that was stored without being checked."""
        plain = _as_plain_json(schema)
        try:
            self._schema = JsonSchema(plain)
        except SchemaUnusable as error:
            raise InputSchemaInvalid(path="$", reason=str(error)) from error
        #: Whether it only says of a few members that they are there and of what type: nothing searches or refers.
        self.is_flat = _is_flat(plain)

    def problems(self, inputs: Mapping[str, Json]) -> tuple[InputProblem, ...]:
        """Everything that is wrong with `inputs` (plain dicts and lists), in the order of the paths; at most 100."""
        try:
            faults = self._schema.faults(inputs, limit=_MAX_PROBLEMS)
        except RecursionError:
            return (InputProblem(path="$", reason="sends the schema into endless references to itself"),)
        except OverLimit as error:
            return (InputProblem(path="$", reason=f"cannot be checked: {error.reason}; simplify the schema"),)
        except SchemaUnusable as error:
            return (InputProblem(path="$", reason=f"cannot be checked: {error}"),)
        found = dict.fromkeys(problem for fault in faults for problem in _problems_of(fault))
        return tuple(sorted(found, key=lambda problem: (problem.path, problem.reason))[:_MAX_PROBLEMS])


def check_input_schema(schema: Mapping[str, Json]) -> None:
    """Raises InputSchemaInvalid unless `schema` is Draft 2020-12, self-contained, and about an object."""
    plain = _as_plain_json(schema)
    if plain.get("$schema", _DIALECT) not in {_DIALECT, f"{_DIALECT}#"}:
        raise InputSchemaInvalid(path="$['$schema']", reason=f"the dialect must be {_DIALECT}")
    try:
        for fault in form_faults(plain, limit=1):
            reason = _reason(fault.keyword, fault.rule) + (f"; {fault.hint}" if fault.hint else "")
            raise InputSchemaInvalid(path=json_path(fault.path), reason=reason)
        _check_strings_and_references(plain)
        for place, reason in refused_parts(plain):
            raise InputSchemaInvalid(path=json_path(place), reason=reason)
    except RecursionError as error:
        raise InputSchemaInvalid(path="$", reason="it is nested too deep") from error
    except SchemaUnusable as error:
        raise InputSchemaInvalid(path="$", reason=str(error)) from error
    kinds = plain.get("type", "object")
    if kinds != "object" and not (isinstance(kinds, list) and "object" in kinds):
        raise InputSchemaInvalid(path="$.type", reason="inputs are an object, so the type must be 'object'")
    InputSchema(plain)


def undeclared_variables(schema: Mapping[str, Json], variables: frozenset[str]) -> frozenset[str]:
    """The variables that a caller could never pass: `schema` lists its properties and these are not among them.

    A schema that is open by its own word (`additionalProperties` other than false, patterns, references,
    combinations) lists nothing for certain, and gives none.
    """
    listed = listed_properties(schema)
    return variables - listed if listed is not None else frozenset()


def listed_properties(schema: Mapping[str, Json]) -> frozenset[str] | None:
    """The inputs that a schema lists; None when it is open to others by its own word, or may be."""
    is_closed = schema.get("additionalProperties") is False
    lists_properties = "properties" in schema and "additionalProperties" not in schema
    listed = schema.get("properties", {})
    if not (is_closed or lists_properties) or not _COMPOSING_KEYWORDS.isdisjoint(schema):
        return None
    return frozenset(listed) if isinstance(listed, Mapping) else None


def json_path(parts: Sequence[str | int]) -> str:
    """`$.pages[2].title`; keys that are no identifiers are quoted, and long ones are cut."""
    return "$" + "".join(_path_part(part) for part in parts)


def _is_flat(schema: Mapping[str, Json]) -> bool:
    members, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    required = schema.get("required", [])
    return (
        _FLAT_KEYWORDS.issuperset(schema)
        and isinstance(others, bool)
        and isinstance(members, Mapping)
        and isinstance(required, list)
        and len(members) + len(required) <= _MAX_FLAT_NAMES
        and all(isinstance(rule, Mapping) and _FLAT_MEMBER_KEYWORDS.issuperset(rule) for rule in members.values())
    )


def _path_part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    key = part if len(part) <= _MAX_QUOTED_KEY else part[:_MAX_QUOTED_KEY] + "…"
    return f".{key}" if key.isidentifier() else f"[{key!r}]"


def _as_plain_json(schema: Mapping[str, Json]) -> dict[str, Json]:
    try:
        content = canonical_json(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputSchemaInvalid(path="$", reason="it holds something that JSON cannot say") from error
    if len(content) > MAX_SCHEMA_BYTES:
        raise InputSchemaInvalid(path="$", reason=f"it has {len(content):,} bytes of {MAX_SCHEMA_BYTES:,} allowed")
    plain = json.loads(content.decode("utf-8", errors="surrogatepass"))
    if not isinstance(plain, dict):
        raise InputSchemaInvalid(path="$", reason="it must be an object")
    return plain


def _check_strings_and_references(schema: dict[str, Json]) -> None:
    for path, key, value in _strings(schema):
        if "\x00" in value or not _is_unicode(value):
            raise InputSchemaInvalid(path=json_path(path), reason="a text holds a character that cannot be stored")
        if key == "$id" and len(path) > 1:
            raise InputSchemaInvalid(path=json_path(path), reason="only the whole schema may have an '$id'")
        if key in {"$ref", "$dynamicRef"} and not value.startswith("#"):
            raise InputSchemaInvalid(path=json_path(path), reason="references must stay in the schema: start with '#'")


def _strings(root: dict[str, Json]) -> Iterator[tuple[tuple[str | int, ...], str | int | None, str]]:
    """Every text of a document with its path and the key that it stands under; keys count as texts too."""
    pending: list[tuple[tuple[str | int, ...], Json]] = [((), root)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield path, path[-1] if path else None, value
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield path, None, key
                pending.append(((*path, key), item))
        elif isinstance(value, list):
            pending.extend(((*path, index), item) for index, item in enumerate(value))


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _problems_of(fault: SchemaFault) -> Iterator[InputProblem]:
    path, keyword, rule, instance = fault.path, fault.keyword, fault.rule, fault.value
    match keyword:
        case "required":
            for name in rule:
                if name not in instance:
                    yield InputProblem(path=json_path((*path, name)), reason="is required")
        case "additionalProperties" if rule is False:
            for name in _unlisted(instance, fault.schema):
                yield InputProblem(path=json_path((*path, name)), reason="is not a property that the schema lists")
        case _:
            yield InputProblem(path=json_path(path), reason=_reason(keyword, rule))


def _unlisted(instance: Mapping[str, Any], schema: Any) -> list[str]:
    listed, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    known = [schema_pattern(pattern) for pattern in patterns]
    return [key for key in instance if key not in listed and not any(pattern.is_found_in(key) for pattern in known)]


def _reason(keyword: Any, rule: Any) -> str:
    """What a value does not satisfy; the rule is the schema's and may be quoted, the value is not."""
    match keyword:
        case None:
            return "is refused by the schema"
        case "type":
            return f"must be of type {rule if isinstance(rule, str) else ' or '.join(rule)}"
        case "anyOf" | "oneOf" | "not" | "if" | "contains" | "unevaluatedProperties" | "unevaluatedItems":
            return f"does not satisfy the schema's {keyword}"
        case _:
            return f"must satisfy {keyword} {json.dumps(rule, ensure_ascii=False)[:_MAX_QUOTED_RULE]}"

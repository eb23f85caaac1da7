"""What is refused of a schema when it is registered, and that finding it goes through each part once."""

from typing import Any

import pytest

from agentflow.json_schema import metaschema, registration
from agentflow.json_schema.checks import SchemaFault, SchemaUnusable
from agentflow.json_schema.ecma_pattern import registered_pattern
from agentflow.json_schema.registration import refused_parts
from agentflow.linear_pattern import LinearPattern
from scl.schema_validation import schema_problems

_DRAFT_7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    ("schema", "places"),
    [
        ({"properties": {"mail": {"pattern": "(?=a)b"}}}, {("properties", "mail", "pattern"): "looks ahead"}),
        ({"allOf": [{"pattern": "(a)\\1"}]}, {("allOf", 0, "pattern"): "refers back"}),
        ({"patternProperties": {"(?<!a)": {}}}, {("patternProperties",): "looks behind"}),
        ({"pattern": "a" * 3_000}, {("pattern",): "3,000 characters; 2,000 are allowed"}),
        ({"pattern": "((\\pL{1,500}){1,2}x){1,9}"}, {("pattern",): ""}),
        ({"default": {"pattern": "("}, "enum": [{"pattern": "("}], "properties": {"pattern": {"type": "string"}}}, {}),
        ({"$ref": "#/x/y", "x": {"y": {"items": {"pattern": "("}}}}, {("$ref",): "missing )"}),
        ({"$ref": "#/x/y", "x": {"y": {"type": "text"}}}, {("$ref",): "leads to no schema"}),
        ({"$ref": "#/enum", "enum": [1]}, {("$ref",): "leads to no schema"}),
        ({"not": {"$ref": "#here"}, "$defs": {"a": {"$anchor": "there"}}}, {("not", "$ref"): "'#here' leads to no"}),
        ({"$schema": _DRAFT_7, "dependencies": {"a": ["b"]}}, {("dependencies",): "write `dependentRequired` or"}),
        ({"items": {"$recursiveRef": "#"}}, {("items", "$recursiveRef"): "write `$ref`"}),
        ({"items": {"$dynamicRef": "#a"}}, {("items", "$dynamicRef"): "write `$ref`"}),
        ({"properties": {"dependencies": {"type": "array"}, "$dynamicRef": {"type": "string"}}}, {}),
    ],
)
def test_what_cannot_be_used_as_it_is_meant_is_told_with_its_place(schema: Any, places: dict[Any, str]) -> None:
    found = dict(refused_parts(schema))

    assert places.keys() == found.keys()
    assert all(reason in found[place] for place, reason in places.items())


@pytest.mark.parametrize("draft", [_DRAFT_7, "https://json-schema.org/draft/2019-09/schema"])
def test_a_schema_of_an_older_draft_that_says_nothing_of_its_own_is_used(draft: str) -> None:
    schema = {
        "$schema": draft,
        "type": "object",
        "properties": {"who": {"$ref": "#/definitions/name", "description": "whom"}, "rest": {"items": {}}},
        "additionalItems": False,
        "definitions": {"name": {"type": "string", "minLength": 1}, "other": {"$ref": "#/definitions/name"}},
        "dependencies": {},
    }

    assert [] == metaschema.form_faults(schema, limit=1)
    assert [] == list(refused_parts(schema))


@pytest.mark.parametrize("target", ["#", "#/$defs/a", "#a", "#/other"])
def test_a_place_that_many_references_lead_to_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    looked_at: list[Any] = []

    def watched(schema: Any, *, limit: int) -> list[SchemaFault]:
        looked_at.append(schema)
        return metaschema.form_faults(schema, limit=limit)

    monkeypatch.setattr(registration, "form_faults", watched)
    schema = {
        "properties": {f"p{number}": {"$ref": target} for number in range(1_000)},
        "$defs": {"a": {"$anchor": "a"}},
        "other": {"type": "string"},
    }

    assert [] == list(refused_parts(schema))
    assert len(looked_at) <= 1


def test_patterns_that_are_too_large_together_are_refused_before_all_are_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[str] = []

    def watched(source: str) -> LinearPattern:
        compiled.append(source)
        return registered_pattern(source)

    monkeypatch.setattr(registration, "registered_pattern", watched)

    refused = list(refused_parts({"patternProperties": {f"[^a]{{990}}{number}": True for number in range(5_000)}}))

    assert [(("patternProperties",), "this pattern and those before it are too large together")] == refused
    assert len(compiled) < 200


def test_an_id_that_is_no_url_makes_a_schema_unusable() -> None:
    schema = {"$id": "http://[", "type": "object"}

    with pytest.raises(SchemaUnusable, match="no URL"):
        refused_parts(schema)
    assert [((), "its `$id` is no URL")] == schema_problems(schema, limit=9)


def test_references_that_lead_through_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nested: dict[str, Any] = {"type": "string"}
    for _ in range(90):
        nested = {"not": nested}
    places = [f"#/x{'/not' * depth}" for depth in range(90)]
    schema = {"x": {**nested, "enum": list(range(9_000))}, "allOf": [{"$ref": place} for place in places]}
    monkeypatch.setattr(registration, "MAX_SCHEMA_PARTS", 20_000)
    monkeypatch.setattr(registration, "_MAX_REFERENCE_STEPS", 3_000)

    reasons = [reason for _, reason in refused_parts(schema)]

    assert any("too much" in reason for reason in reasons)

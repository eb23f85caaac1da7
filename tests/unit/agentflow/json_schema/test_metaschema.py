"""What has a schema's form is held against jsonschema, which goes by the draft's own metaschema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker, SchemaError

from agentflow.json_schema.checks import SchemaUnusable
from agentflow.json_schema.metaschema import MAX_SCHEMA_PARTS, form_faults
from agentflow.meter import Meter
from tests.unit.agentflow.json_schema.test_schema import SCHEMAS, VALUES

_KEYWORDS = sorted(
    {
        *("$id", "$schema", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "$comment", "$defs"),
        *("prefixItems", "items", "contains", "additionalProperties", "properties", "patternProperties"),
        *("dependentSchemas", "propertyNames", "if", "then", "else", "allOf", "anyOf", "oneOf", "not"),
        *("unevaluatedItems", "unevaluatedProperties", "type", "enum", "const", "multipleOf", "maximum", "required"),
        *("exclusiveMaximum", "minLength", "maxItems", "uniqueItems", "maxContains", "minProperties", "pattern"),
        *("dependentRequired", "title", "default", "deprecated", "examples", "format", "contentEncoding"),
        *("contentSchema", "definitions", "dependencies", "$recursiveAnchor", "$recursiveRef", "unknown"),
    }
)
_TEXTS = st.sampled_from(["string", "a", "#a", "https://example.org/x", "1a", "^a", ""])


def _mutants(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from(_KEYWORDS), inner, max_size=3)
    return st.one_of(named, st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=2))


#: Schemas, and what is one by chance or nearly.
DOCUMENTS = st.one_of(SCHEMAS, st.recursive(st.one_of(SCHEMAS, VALUES, _TEXTS), _mutants, max_leaves=8))


@given(DOCUMENTS)
def test_something_has_a_schemas_form_where_the_drafts_metaschema_says_so(document: Any) -> None:
    try:
        Draft202012Validator.check_schema(document, format_checker=FormatChecker(()))
    except SchemaError:
        is_schema = False
    else:
        is_schema = True

    assert is_schema is (form_faults(document, limit=10) == [])


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"items": [{"type": "string"}], "additionalItems": False}, "`prefixItems`"),
        ({"properties": {"a": {"minimum": 1, "exclusiveMinimum": True}}}, "the bound itself, instead of `minimum`"),
        ({"properties": {"a": {"required": True}}}, "the list of names"),
        ({"$defs": {"a": {"$id": "#a"}}}, "`$anchor`"),
    ],
)
def test_what_an_older_draft_writes_is_told_with_what_to_write(schema: Any, hint: str) -> None:
    assert [hint in (fault.hint or "") for fault in form_faults(schema, limit=1)] == [True]


def test_the_work_for_a_schema_grows_with_its_size_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[int] = []
    monkeypatch.setattr(Meter, "spend", lambda _, steps=1: spent.append(steps))

    def steps_of(count: int) -> int:
        spent.clear()
        nested: Any = {"type": "string"}
        for _ in range(20):
            nested = {"allOf": [nested], "items": {"minLength": 1}, "description": "x" * 50}
        assert [] == form_faults({"properties": {f"p{number}": nested for number in range(count)}}, limit=1)
        return sum(spent)

    assert steps_of(160) < 17 * steps_of(10)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": list(range(MAX_SCHEMA_PARTS))},
        {"allOf": [{"type": "string"} for _ in range(MAX_SCHEMA_PARTS // 2)]},
        {"properties": {str(number): True for number in range(MAX_SCHEMA_PARTS)}},
    ],
)
def test_a_schema_of_too_many_parts_is_refused_before_any_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, schema: Any
) -> None:
    form_faults({}, limit=1)
    monkeypatch.delattr("agentflow.json_schema.checks.Node.check")

    with pytest.raises(SchemaUnusable, match="more than 100,000 values"):
        form_faults(schema, limit=1)


@pytest.mark.parametrize("name", ["items", "$id", "required"])
def test_what_only_has_the_name_of_a_keyword_gets_no_hint(name: str) -> None:
    [fault, *_] = form_faults({"properties": {name: [True] if name == "items" else "x"}}, limit=9)

    assert fault.hint is None

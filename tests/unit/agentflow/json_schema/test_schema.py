"""What JSON Schema says is held against jsonschema; what it may cost is counted, so no clock is asked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentflow.json_schema.checks import SchemaUnusable
from agentflow.json_schema.schema import INLINE_STEPS, JsonSchema
from agentflow.meter import OverLimit

_TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
_NAMES = st.sampled_from(["a", "b", "ab", "x1"])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -2.5, 3.0]),
    st.sampled_from(["", "a", "ab"]),
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=3)),
    max_leaves=8,
)
_LEAVES = st.one_of(
    st.booleans(),
    st.builds(lambda kind: {"type": kind}, _TYPES),
    st.builds(lambda kinds: {"type": kinds}, st.lists(_TYPES, min_size=1, max_size=3, unique=True)),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(
        lambda keyword, bound: {keyword: bound},
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
        st.sampled_from([-1, 0, 0.5, 2]),
    ),
    st.builds(
        lambda keyword, bound: {keyword: bound},
        st.sampled_from(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]),
        st.integers(0, 2),
    ),
    st.builds(lambda of: {"multipleOf": of}, st.sampled_from([1, 2, 0.5])),
    st.builds(lambda pattern: {"pattern": pattern}, st.sampled_from(["^a", "b$", "a?b", "^.{1,2}$", "[^a]"])),
    st.just({"uniqueItems": True}),
    st.builds(lambda names: {"required": names}, st.lists(_NAMES, max_size=2, unique=True)),
    st.builds(lambda name, needs: {"dependentRequired": {name: [needs]}}, _NAMES, _NAMES),
    st.just({"$ref": "#/$defs/one"}),
)


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(_NAMES, inner, min_size=1, max_size=2)
    several = st.lists(inner, min_size=1, max_size=3)
    single = [
        *("additionalProperties", "propertyNames", "items", "contains", "not", "unevaluatedItems"),
        "unevaluatedProperties",
    ]
    part = st.one_of(
        st.builds(lambda parts: {"properties": parts}, members),
        st.builds(lambda parts: {"dependentSchemas": parts}, members),
        st.builds(lambda part: {"patternProperties": {"^a": part}}, inner),
        *(st.builds(lambda part, keyword=keyword: {keyword: part}, inner) for keyword in single),
        *(
            st.builds(lambda parts, keyword=keyword: {keyword: parts}, several)
            for keyword in ("allOf", "anyOf", "oneOf")
        ),
        st.builds(lambda parts: {"prefixItems": parts}, several),
        st.builds(lambda one, two, three: {"if": one, "then": two, "else": three}, inner, inner, inner),
        st.builds(lambda one: {"contains": one, "minContains": 0, "maxContains": 1}, inner),
    )
    return st.lists(part, min_size=1, max_size=3).map(lambda parts: {k: v for each in parts for k, v in each.items()})


SCHEMAS = st.recursive(_LEAVES, _composed, max_leaves=8)


@given(SCHEMAS, SCHEMAS, VALUES)
def test_a_value_fits_a_schema_where_jsonschema_says_so(schema: Any, one: Any, value: Any) -> None:
    document = {"allOf": [schema], "$defs": {"one": {"type": ["array", "object"], "anyOf": [True, one]}}}
    if "#/$defs/one" in str(one):
        return

    expected = Draft202012Validator(document).is_valid(value)

    assert expected is not bool(JsonSchema(document).faults(value, limit=1))


@given(SCHEMAS.filter(lambda schema: "$ref" not in str(schema)), VALUES)
def test_the_first_fault_is_one_as_good_as_any(schema: Any, value: Any) -> None:
    all_of_them = JsonSchema(schema).faults(value, limit=1_000)
    first = JsonSchema(schema).faults(value, limit=1)

    assert first == all_of_them[:1]
    for fault in all_of_them:
        place: Any = value
        for step in fault.path:
            place = place[step]


@pytest.mark.parametrize(
    ("schema", "value", "places"),
    [
        (
            {"properties": {"a": {"items": {"type": "integer"}}}, "required": ["b"]},
            {"a": [1, "x", 2, None]},
            [("required", ()), ("type", ("a", 1)), ("type", ("a", 3))],
        ),
        ({"$defs": {"n": {"type": "null"}}, "items": {"$ref": "#/$defs/n"}}, [1], [("type", (0,))]),
        ({"$ref": "#/properties/next", "properties": {"next": {"type": "object"}}}, 1, [("type", ())]),
        (
            {"$id": "https://example.org/s", "$defs": {"x": {"$anchor": "x", "const": 1}}, "$ref": "#x"},
            2,
            [("const", ())],
        ),
        (
            {"properties": {"child": {"$ref": "#"}}, "required": ["id"]},
            {"id": 1, "child": {}},
            [("required", ("child",))],
        ),
        ({"multipleOf": 0.1}, 0.3, []),
        ({"minLength": 2}, "é", [("minLength", ())]),
        ({"enum": [1]}, True, [("enum", ())]),
        ({"enum": [1]}, 1.0, []),
        ({"uniqueItems": True}, [1, True, "1", [1], [True], {"a": 1}, {"a": 2}], []),
        ({"uniqueItems": True}, [{"a": [1, 2.0]}, {"a": [1.0, 2]}], [("uniqueItems", ())]),
        ({"pattern": "^\\d+$"}, "12\n", [("pattern", ())]),
        ({"pattern": "^\\u00e9\\/$"}, "é/", []),
        ({"pattern": "x"}, "bad \ud83d", [("pattern", ())]),
    ],
)
def test_each_fault_stands_at_its_place(schema: Any, value: Any, places: list[Any]) -> None:
    faults = JsonSchema(schema).faults(value, limit=100)

    assert sorted(places, key=str) == sorted(((fault.keyword, fault.path) for fault in faults), key=str)


def _doubling(levels: int) -> dict[str, Any]:
    """2^levels ways of `$ref` to one place."""
    definitions: dict[str, Any] = {
        f"l{level}": {"allOf": [{"$ref": f"#/$defs/l{level + 1}"}, {"$ref": f"#/$defs/l{level + 1}"}]}
        for level in range(levels)
    }
    return {"$ref": "#/$defs/l0", "$defs": {**definitions, f"l{levels}": {"type": "integer"}}}


def _unevaluated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"anyOf": [schema, schema], "unevaluatedProperties": {"type": "integer"}}
    return schema


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_doubling(24), 1),
        ({**_doubling(24), "$schema": "http://json-schema.org/draft-07/schema#"}, 1),
        (
            {
                "items": {"$schema": "http://json-schema.org/draft-04/schema#", **_doubling(24)},
                "$defs": _doubling(24)["$defs"],
            },
            [1],
        ),
        (_unevaluated(13), {"a": 1}),
        ({"items": {"anyOf": [{"const": number} for number in range(20_000)]}}, list(range(20_000, 20_200))),
        (
            {"patternProperties": {f"(x+x+)+y{number}": True for number in range(2_000)}},
            {"x" * 1_000 + str(n): 1 for n in range(20)},
        ),
        ({"pattern": "(\\w+\\s?){100}$"}, "ab " * 100_000),
        # Python's hashes of -1 and -2 are the same, and so are those of tuples of them.
        ({"uniqueItems": True}, [[-1 if bit == "1" else -2 for bit in f"{n:016b}"] for n in range(12_000)]),
        (
            {"allOf": [{"additionalProperties": True}] * 40, "unevaluatedProperties": False},
            {str(n): n for n in range(5_000)},
        ),
        ({"items": {"enum": [[number] * 100 for number in range(3_000)]}}, [[9] * 1_000_000]),
    ],
)
def test_a_check_that_costs_more_than_its_value_is_worth_is_stopped(schema: Any, value: Any) -> None:
    ready = JsonSchema(schema)

    with pytest.raises(OverLimit):
        ready.faults(value, limit=100, steps=INLINE_STEPS)
    with pytest.raises(OverLimit):
        ready.faults(value, limit=100, steps=200_000)


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"^([a-zA-Z0-9_\.\-])+\@(([a-zA-Z0-9\-])+\.)+([a-zA-Z0-9]{2,4})+$"])
def test_a_pattern_that_backtracks_elsewhere_takes_few_steps(pattern: str) -> None:
    value = "ada@mail." + "a" * 5_000 + "!"

    faults = JsonSchema({"pattern": pattern}).faults(value, limit=1, steps=INLINE_STEPS * 4)

    assert ["pattern"] == [fault.keyword for fault in faults]


def test_a_large_value_may_be_checked_in_proportion_to_its_size() -> None:
    schema = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "text": {"minLength": 1}},
            "required": ["id"],
        },
    }

    assert [] == JsonSchema(schema).faults([{"id": n, "text": "x"} for n in range(30_000)], limit=1)


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/x"},
        {"type": "text"},
        {"$ref": "http://["},
        {"$id": "http://[", "type": "string"},
        {"const": 5, "$ref": "#/const"},
        {"enum": ["text"], "$ref": "#/enum/0"},
    ],
)
def test_a_schema_that_no_value_can_be_checked_by_is_told(schema: Any) -> None:
    with pytest.raises(SchemaUnusable):
        JsonSchema(schema)


def test_a_part_of_a_schema_is_made_ready_without_going_through_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "null"}}}
    monkeypatch.setattr("referencing.Registry.crawl", lambda _: pytest.fail("it went through the whole"))

    assert JsonSchema(whole, part=whole["properties"]["a"]).faults("x", limit=1)


def test_lists_whose_hashes_are_the_same_are_told_apart() -> None:
    lists = [[-1 if bit == "1" else -2 for bit in f"{number:010b}"] for number in range(1_000)]

    assert [] == JsonSchema({"uniqueItems": True}).faults(lists, limit=1)
    assert JsonSchema({"uniqueItems": True}).faults([*lists, lists[5]], limit=1)


def test_a_schema_that_refers_to_itself_without_an_end_is_told() -> None:
    with pytest.raises((RecursionError, OverLimit)):
        JsonSchema({"$ref": "#"}).faults(1, limit=1)

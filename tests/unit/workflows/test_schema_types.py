from typing import Any

import pytest

from workflows.schema_types import can_hold, describe, schema_at, types_of

REPORT = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "pages": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "note": {"type": ["string", "null"]},
        "place": {"type": ["object", "null"], "properties": {"x": {"type": "number"}}, "additionalProperties": False},
        "anything": True,
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ((), {"object"}),
        (("title",), {"string"}),
        (("pages", "0"), {"object"}),
        (("pages", "12", "n"), {"integer"}),
        (("place", "x"), {"number"}),
        (("note",), {"string", "null"}),
    ],
)
def test_a_path_leads_to_the_schema_of_its_value(path: tuple[str, ...], types: set[str]) -> None:
    found, missing = schema_at(REPORT, path)

    assert frozenset(types) == types_of(found)
    assert missing is None


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        (("titel",), 0),
        (("title", "length"), 1),
        (("title", "0"), 1),
        (("pages", "n"), 1),
        (("pages", "0", "n", "x"), 3),
        (("note", "x"), 1),
        (("place", "y"), 1),
        (("place", "x", "y"), 2),
    ],
)
def test_a_path_that_no_value_has_is_told_by_the_position_of_its_first_wrong_step(
    path: tuple[str, ...], missing: int
) -> None:
    assert (None, missing) == schema_at(REPORT, path)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (None, ("a", "b")),
        ({}, ("a", "0", "b")),
        ({"type": "object"}, ("a",)),
        ({"type": "array"}, ("0", "a")),
        ({"properties": {"a": {}}}, ("b",)),
        ({"properties": {"a": True}}, ("a", "b")),
        ({"properties": {"a": False}}, ("a", "b")),
        ({"type": "array", "items": True}, ("0", "a")),
        ({"$ref": "#/$defs/a", "additionalProperties": False}, ("a",)),
        ({"properties": {}, "patternProperties": {"^x": {}}, "additionalProperties": False}, ("xa",)),
        ({"properties": {}, "patternProperties": {"^x": {}}, "additionalProperties": {"type": "null"}}, ("xa", "b")),
        ({"type": "array", "prefixItems": [{"type": "object"}], "items": {"type": "string"}}, ("0", "a")),
        ({"type": ["object", "array"], "items": {"type": "string"}}, ("a", "b")),
    ],
)
def test_what_is_not_certain_passes_as_unknown(schema: dict[str, Any] | None, path: tuple[str, ...]) -> None:
    assert (None, None) == schema_at(schema, path)


def test_further_properties_have_the_schema_that_speaks_of_them() -> None:
    schema = {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}}

    assert ({"type": "integer"}, None) == schema_at(schema, ("b",))


@pytest.mark.parametrize(
    ("source", "target", "fits"),
    [
        ("string", "string", True),
        ("string", "integer", False),
        ("integer", "number", True),
        ("number", "integer", True),
        ("boolean", "integer", False),
        ("array", "object", False),
        (["string", "null"], "string", True),
        (["string", "null"], ["integer", "null"], True),
        ("null", "string", False),
        (None, "string", True),
        ("string", None, True),
    ],
)
def test_a_value_fits_unless_its_types_rule_it_out(
    source: str | list[str] | None, target: str | list[str] | None, *, fits: bool
) -> None:
    def schema(types: str | list[str] | None) -> dict[str, Any]:
        return {} if types is None else {"type": types}

    assert fits is can_hold(schema(source), schema(target))


def test_a_schema_that_is_not_there_rules_nothing_out() -> None:
    assert can_hold(None, {"type": "string"})
    assert can_hold({"type": "string"}, None)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["null", "array"]}, "array or null"),
        ({"enum": [1]}, "value"),
        (None, "value"),
    ],
)
def test_types_are_described_for_people(schema: dict[str, Any] | None, words: str) -> None:
    assert words == describe(schema)

import copy
from typing import Any

import pytest

from scl.errors import InvalidSchema
from scl.schema_defaults import defaults_in, with_defaults

_LANG = {"type": "string", "default": "en"}
_OPTIONS = {"type": "object", "properties": {"lang": _LANG, "depth": {"type": "integer"}}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "value", "filled"),
    [
        (_object(lang=_LANG), {}, {"lang": "en"}),
        (_object(lang=_LANG), {"lang": "fr"}, {"lang": "fr"}),
        (_object(lang=_LANG), {"lang": None}, {"lang": None}),
        (_object(a={"default": None}, b={"default": [1]}, c={"default": False}), {}, {"a": None, "b": [1], "c": False}),
        (_object(options=_OPTIONS), {"options": {"depth": 1}}, {"options": {"depth": 1, "lang": "en"}}),
        (_object(options=_OPTIONS), {}, {"options": {"lang": "en"}}),
        (_object(options={**_OPTIONS, "default": {}}), {}, {"options": {"lang": "en"}}),
        (_object(options={**_OPTIONS, "required": ["depth"]}), {}, {}),
        (_object(a=_object(b=_object(c={"default": 1}))), {}, {"a": {"b": {"c": 1}}}),
        (_object(list={"type": "array", "items": _OPTIONS}), {"list": [{}, 7]}, {"list": [{"lang": "en"}, 7]}),
        ({"allOf": [_object(a={"default": 1}), _object(b={"default": 2})]}, {}, {"a": 1, "b": 2}),
        ({**_object(o={"$ref": "#/$defs/o"}), "$defs": {"o": _OPTIONS}}, {"o": {}}, {"o": {"lang": "en"}}),
        ({**_object(l={"$ref": "#/$defs/l"}), "$defs": {"l": _LANG}}, {}, {"l": "en"}),
        ({"anyOf": [_object(a={"default": 1})]}, {}, {}),
        (_object(a=True, b=False), {}, {}),
        (None, {"a": 1}, {"a": 1}),
        (True, {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_what_is_left_out_has_its_default(schema: Any, value: dict[str, Any], filled: dict[str, Any]) -> None:
    given, before = copy.deepcopy(value), copy.deepcopy(schema)

    assert filled == with_defaults(given, schema)
    assert (value, before) == (given, schema)
    assert filled == with_defaults(filled, schema)


def test_a_default_is_not_shared_between_values() -> None:
    schema = _object(tags={"default": []})

    with_defaults({}, schema)["tags"].append("x")

    assert {"tags": []} == with_defaults({}, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}] * 20},
        {**_object(x={"$ref": "#/$defs/a"}), "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        _object(**{f"p{number}": {"$ref": "#"} for number in range(20)}),
        {"$ref": "#/nowhere/0"},
        {"$ref": "other.json"},
    ],
)
def test_a_schema_that_goes_in_circles_or_nowhere_comes_to_an_end(schema: dict[str, Any]) -> None:
    assert {"x": {"y": [{}]}} == with_defaults({"x": {"y": [{}]}}, schema)


def test_defaults_do_not_unfold_through_references() -> None:
    schema = _object(**{f"p{number}": {"$ref": "#", "default": {}} for number in range(20)})

    assert {f"p{number}": {} for number in range(20)} == with_defaults({}, schema)


def test_every_default_of_a_schema_is_found_with_its_path() -> None:
    schema = {
        **_object(a={"default": 1, **_object(b=_LANG)}, default={"type": "integer"}),
        "allOf": [{"items": _LANG}],
        "$defs": {"d": _LANG},
        "enum": [{"default": 3}],
        "const": {"default": 3},
    }

    assert {
        ("properties", "a"), ("properties", "a", "properties", "b"), ("allOf", 0, "items"), ("$defs", "d"),
    } == {path for path, _ in defaults_in(schema)}  # fmt: skip


def test_defaults_do_not_make_a_huge_value_of_a_small_one() -> None:
    schema = {"items": {"properties": {"x": {"default": "x" * 100_000}}}}

    with pytest.raises(InvalidSchema, match="it makes more than 16,000,000 characters to apply its defaults"):
        with_defaults([{} for _ in range(1_000)], schema)

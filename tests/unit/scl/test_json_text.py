from agentflow.digest import Json
from scl.json_text import JsonText, collect_text, map_strings


def test_values_and_names_of_members_are_told_apart() -> None:
    text = collect_text({"name": "x", "list": ["y", 1, None, {"inner": True}]})

    assert {"x", "y"} == set(text.values)
    assert {"name", "list", "inner"} == set(text.keys)


def test_a_bare_string_is_a_value_and_a_number_has_no_text() -> None:
    assert JsonText(values=("x",), keys=()) == collect_text("x")
    assert JsonText(values=(), keys=()) == collect_text(1)


def test_every_string_value_is_mapped_and_all_else_is_kept() -> None:
    value: Json = {"a": ["x", {"b": "y"}, ("z", 1.5)], "c": None, "d": False}

    assert map_strings(value, str.upper) == {"a": ["X", {"b": "Y"}, ["Z", 1.5]], "c": None, "d": False}

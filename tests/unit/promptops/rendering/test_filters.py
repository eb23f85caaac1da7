import pytest

from agentflow.digest import Json
from promptops.errors import RenderFailed
from promptops.rendering.filters import FILTERS
from tests.unit.promptops.prompts import render_text

ASKED_FOR = (
    "upper lower title trim join length default tojson indent replace round first last sort truncate int float string"
)


def test_the_filters_are_those_that_were_decided_on() -> None:
    assert set(ASKED_FOR.split()) == set(FILTERS)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'Ab'|upper", "AB"),
        ("'Ab'|lower", "ab"),
        ("'a tale of-two'|title", "A Tale Of-Two"),
        ("'  a '|trim", "a"),
        ("'--a-'|trim('-')", "a"),
        ("xs|join(', ')", "3, 1, 2"),
        ("m.names|join", "bA"),
        ("xs|length ~ m|length ~ 'ab'|length", "312"),
        ("nothing|default('d')", "d"),
        ("null|default('d')", "d"),
        ("''|default('d')", ""),
        ("''|default('d', true)", "d"),
        ("m.missing|default('d')", "d"),
        ("xs[9]|default('d')", "d"),
        ("m|tojson", '{"names": ["b", "A"]}'),
        ("xs|tojson(indent=1)", "[\n 3,\n 1,\n 2\n]"),
        ("'</script>'|tojson", '"</script>"'),
        ("'a\nb\n\nc'|indent(2)", "a\n  b\n\n  c"),
        ("'a\nb'|indent(2, first=true)", "  a\n  b"),
        ("'a\n\nb'|indent(1, blank=true)", "a\n \n b"),
        ("'aXbX'|replace('X', '-')", "a-b-"),
        ("'aXbX'|replace('X', '-', 1)", "a-bX"),
        ("2.567|round(1)", "2.6"),
        ("2.1|round(0, 'ceil')", "3.0"),
        ("2.9|round(0, 'floor')", "2.0"),
        ("xs|first ~ xs|last", "32"),
        ("'ab'|first ~ 'ab'|last", "ab"),
        ("m.empty|default('')", ""),
        ("[]|first|default('none')", "none"),
        ("xs|sort", "[1, 2, 3]"),
        ("xs|sort(reverse=true)", "[3, 2, 1]"),
        ("m.names|sort", '["A", "b"]'),
        ("['b', 'A', 'a']|sort(case_sensitive=true)", '["A", "a", "b"]'),
        ("'one two three'|truncate(9)", "one..."),
        ("'one two three'|truncate(9, true)", "one tw..."),
        ("'one two'|truncate(7)", "one two"),
        ("'one two'|truncate(2)", ".."),
        ("'12'|int + 1", "13"),
        ("'1.9'|int", "1"),
        ("'x'|int", "0"),
        ("'x'|int(7)", "7"),
        ("'1e999'|float(7.5)", "7.5"),
        ("'2.5'|float", "2.5"),
        ("true|string", "true"),
        ("xs|string", "[3, 1, 2]"),
    ],
)
def test_filters_do_what_their_names_say(expression: str, text: str) -> None:
    inputs: dict[str, Json] = {"xs": [3, 1, 2], "m": {"names": ["b", "A"]}, "null": None}

    assert text == render_text("{{ " + expression + " }}", **inputs)


@pytest.mark.parametrize(
    "expression",
    [
        "3|length",
        "null|length",
        "null|upper",
        "'a'|join",
        "[none]|join",
        "3|first",
        "[]|first",
        "[]|last",
        "m|sort",
        "['a', 1]|sort",
        "[none, none]|sort",
        "'3'|round",
        "3|round(99)",
        "3|round(method='up')",
        "'a'|indent(9999999)",
        "'a'|indent('x')",
        "'a'|truncate(-1)",
        "'a'|truncate('x')",
        "'a'|replace('', 'b')",
        "m|tojson(9999)",
        "'a'|trim(3)",
    ],
)
def test_filters_refuse_what_they_are_not_for(expression: str) -> None:
    with pytest.raises(RenderFailed):
        render_text("{{ " + expression + " }}", m={"a": 1}, null=None)

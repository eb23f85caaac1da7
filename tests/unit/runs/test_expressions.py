import json
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import Json, canonical_json
from runs.errors import ExpressionFailed, ExpressionInvalid, RunsError
from runs.expressions import (
    MAX_EXPRESSION_CHARACTERS,
    Reference,
    Template,
    follow,
    is_template,
    parse_expression,
    parse_template,
)
from tests.unit.json_values import JSON_VALUES

SCOPE: Mapping[str, Any] = {
    "inputs": {"limit": 2, "ratio": 1.5, "email": "jane@example.com", "nothing": None, "flag": True},
    "split": {"output": {"chunks": ["a", "b", {"text": "c"}], "by_name": {"x": 1}}, "status": "succeeded"},
}
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name not in {"in", "as", "if", "for", "let", "var", "true", "false", "null", "while", "break", "const"}
)
#: Pieces that expressions are made of, and some that they are not.
PIECES = st.sampled_from(
    [
        *("inputs", "split", ".", "[", "0", "]", "(", ")", "{", "}", '"x"', "'", '"', '"""', 'r"', "+", "-", "?", ":"),
        *("&&", "==", "in", "!", ",", "map", "all", "has", "i", "1u", "1.5", "null", "\\", "@", "//", "\n", " ", "😀"),
        *("\x00", "\ud800", "9" * 30, "1e999", "timestamp", "duration", "size", "%", "`"),
    ]
)


def references(source: str) -> list[str]:
    return [str(reference) for reference in parse_expression(source).references]


def evaluate(source: str) -> Any:
    return parse_expression(source).evaluate(SCOPE)


def render(source: str) -> Any:
    return parse_template(source).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("inputs.limit", 2),
        ("type(inputs.limit) == int && type(inputs.email) == string", True),
        (" inputs.limit\n", 2),
        ("inputs . limit", 2),
        ("split.output.chunks[2].text", "c"),
        ('split.output["by_name"].x', 1),
        ("split.output", SCOPE["split"]["output"]),
        ("inputs.nothing", None),
        ("inputs.nothing == null", True),
        ("inputs.limit > 1 && split.status == 'succeeded'", True),
        ("inputs.limit > 5 ? inputs.email : 'no one'", "no one"),
        ("size(split.output.chunks)", 3),
        ("split.output.chunks.size() + 1", 4),
        ("has(split.output.summary)", False),
        ("'b' in split.output.chunks", True),
        ("inputs.ratio * 2.0", 3.0),
        ("inputs.email.startsWith('jane')", True),
        ("'fixed'", "fixed"),
        ("true", True),
        ("null", None),
        ("{'a': [inputs.limit]}", {"a": [2]}),
        ("timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05+00:00"),
        ("[timestamp('2026-01-02T03:04:05Z')]", ["2026-01-02T03:04:05+00:00"]),
        ("b'abc'", "abc"),
        ("{'a': b'abc'}", {"a": "abc"}),
        ("[duration('1h30m'), duration('-250ms')]", ["5400s", "-0.25s"]),
        ("type(inputs.ratio)", "double"),
    ],
)
def test_an_expression_has_its_value(source: str, value: Json) -> None:
    assert value == evaluate(source)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("[1, 2, 3].map(i, i * inputs.limit)", [2, 4, 6]),
        ("[1, 2, 3].filter(i, i >= inputs.limit)", [2, 3]),
        ("[1, 2].all(i, i <= inputs.limit)", True),
        ("[1, 2].exists(i, i > inputs.limit)", False),
        ("[1, 2].exists_one(i, i == inputs.limit)", True),
        ("[1, 2].existsOne(i, i == inputs.limit)", True),
        ("[[1], [2, 3]].map(row, row.map(cell, cell + inputs.limit))", [[3], [4, 5]]),
    ],
)
def test_a_macro_binds_its_variable_and_reads_the_rest_from_outside(source: str, value: Json) -> None:
    assert value == evaluate(source)
    assert ["inputs.limit"] == references(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("split.output.all(item, item.ok) && item.output.ok", ["split.output", "item.output.ok"]),
        ("item.output.ok && split.output.all(item, item.ok)", ["item.output.ok", "split.output"]),
        ("item.map(item, item.a) == b", ["item", "b"]),
        ("a.map(x, size(x) + y) + x", ["a", "y", "x"]),
    ],
)
def test_a_name_that_a_macro_binds_is_read_from_outside_beside_the_macro(source: str, expected: list[str]) -> None:
    assert expected == references(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.b.c", ["a.b.c"]),
        ("a.b[0].c + a.b[0].c", ["a.b.0.c"]),
        ("a.b[i].c", ["a.b", "i"]),
        ('a["b"].c', ["a"]),
        ("a.b.startsWith(c.d)", ["a.b", "c.d"]),
        ("size(a.b)", ["a.b"]),
        ("a.size", ["a.size"]),
        ("has(a.b) && !c", ["a.b", "c"]),
        ("{'a': b, c: 1}", ["b", "c"]),
        ("'a.b' + \"c.d\" + e", ["e"]),
        ("'it\\'s a.b' + e", ["e"]),
        (r'r"\" + a.b + "x"', ["a.b"]),
        (r"a.matches(r'\d') && b.matches('\\d')", ["a", "b"]),
        ('"""one " a """ + b + """ a """ + a', ["b", "a"]),
        ("a + 1 // b and it's over\n+ c", ["a", "c"]),
        ("true && null == a", ["a"]),
        ("1 in a", ["a"]),
        ("1 + 2", []),
        ("type(a) == int && b == int.x", ["a", "b", "int.x"]),
        ("type (a.b) != list", ["a.b"]),
        ("type == int", ["type", "int"]),
        ("has(a.b.c) || has(d[0].e)", ["a.b.c", "d.0.e"]),
        ("a.b[c.d].e", ["a.b", "c.d"]),
        ("math.greatest(a, math.b)", ["a", "math.b"]),
    ],
)
def test_the_references_of_an_expression_are_the_paths_that_it_reads(source: str, expected: list[str]) -> None:
    assert expected == references(source)


@given(st.lists(NAMES, min_size=1, max_size=4), JSON_VALUES)
def test_a_plain_path_is_followed_to_its_very_end(names: list[str], value: Json) -> None:
    root, *path = names
    scope: Json = value
    for step in reversed(path):
        scope = {step: scope}

    expression = parse_expression(".".join(names))

    assert Reference(root=root, path=tuple(path)) == expression.plain
    assert (expression.plain,) == expression.references
    assert expression.evaluate({root: scope}) is value


@pytest.mark.parametrize("source", ["a.b + 1", "a.b.size()", "a['b']", "true", "null", "1", "'a'", "(a)"])
def test_what_is_more_or_less_than_a_path_is_not_plain(source: str) -> None:
    assert parse_expression(source).plain is None


@given(st.text("\n\"' {}.,+-", max_size=8), st.text(st.characters(codec="utf-8"), max_size=8))
def test_a_string_literal_reads_nothing_and_is_its_own_value(awkward: str, text: str) -> None:
    literal = json.dumps(f"inputs.limit {awkward} {text}", ensure_ascii=False)

    expression = parse_expression(f"{literal} + inputs.email")

    assert ["inputs.email"] == [str(reference) for reference in expression.references]
    assert f"inputs.limit {awkward} {text}jane@example.com" == expression.evaluate(SCOPE)


@given(st.lists(PIECES, min_size=1, max_size=8).map("".join))
def test_any_text_gives_a_json_value_or_an_error_of_ours(source: str) -> None:
    try:
        value = parse_expression(source).evaluate(SCOPE)
    except (ExpressionInvalid, ExpressionFailed):
        return

    assert canonical_json(value)


@pytest.mark.parametrize(
    "source",
    ["", "  \n", "a.", "a b", "a[", "'open", "for", "in", "a ? b", "1 +", "\x00", "((" * 300 + "1" + "))" * 300],
)
def test_what_is_no_expression_is_refused(source: str) -> None:
    with pytest.raises(ExpressionInvalid) as refusal:
        parse_expression(source)

    assert source.strip() == refusal.value.expression.strip()
    assert refusal.value.reason


def test_an_expression_has_a_greatest_length() -> None:
    longest = f"'{'x' * (MAX_EXPRESSION_CHARACTERS - 2)}'"

    assert parse_expression(longest).references == ()
    with pytest.raises(ExpressionInvalid, match="4097 characters; 4096 are allowed") as refusal:
        parse_expression(f"{longest}+")
    assert len(refusal.value.expression) < 100


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("outputs.limit", "'outputs' is not known here"),
        ("inputs.limits", "'inputs' is a map without 'limits'"),
        ("inputs.limit.x", "'inputs.limit' is a number without 'x'"),
        ("inputs.email.x", "'inputs.email' is a text without 'x'"),
        ("inputs.flag.x", "'inputs.flag' is a boolean without 'x'"),
        ("inputs.nothing.x", "'inputs.nothing' is a missing value without 'x'"),
        ("split.output.chunks.x", "'split.output.chunks' is a list without 'x'"),
        ("split.output.chunks[3]", "'split.output.chunks' is a list without '3'"),
        ("inputs.limits + 1", "there is no field 'limits'"),
        ("1 / 0", "it divides by zero"),
        ("inputs.limit + 'x'", "a number + a text has no meaning; write string(x) to join it to a text"),
        ("9223372036854775807 + inputs.limit", "the number that it gives has more than 64 bits"),
        ("split.output.chunks[-1]", "a list of 3 items has no position of that number"),
        ("outputs + 1", "'outputs' is not known here"),
        ("1e308 * 10.0", "the number that it gives is too large"),
        ("0.0 / 0.0", "it divides by zero"),
    ],
)
def test_an_expression_without_a_value_says_why(source: str, reason: str) -> None:
    with pytest.raises(ExpressionFailed) as refusal:
        evaluate(source)

    assert (source, reason) == (refusal.value.expression, refusal.value.reason)


def test_a_map_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ExpressionFailed, match="a map whose keys are no texts, which JSON cannot hold"):
        evaluate("[{1: 'x'}]")
    with pytest.raises(ExpressionFailed):
        render("so: {{ [{1: 'x'}] }}")


@pytest.mark.parametrize(
    "source",
    [
        "split.output.by_name[inputs.email]",
        "inputs.email.x",
        "inputs.email + 1",
        "int(inputs.email)",
        "double(inputs.email)",
        "timestamp(inputs.email)",
        "duration(inputs.email)",
        "'a'.matches('[' + inputs.email)",
        "inputs[inputs.email][inputs.email]",
        "[1][inputs.email]",
        "!inputs.email",
        "inputs.email ? 1 : 2",
    ],
)
def test_no_error_quotes_data(source: str) -> None:
    with pytest.raises(RunsError) as refusal:
        evaluate(source)

    assert "jane" not in "".join(traceback.format_exception(refusal.value))


@given(st.text(st.characters(codec="utf-8"), min_size=4, max_size=20))
def test_a_field_whose_name_is_computed_is_missed_without_its_name(name: str) -> None:
    with pytest.raises(ExpressionFailed) as refusal:
        parse_expression("zz[yy]").evaluate({"zz": {}, "yy": name})

    assert refusal.value.reason == "there is no field of the name that it computes"


def test_an_expression_does_not_change_what_it_reads() -> None:
    before = canonical_json(SCOPE)

    evaluate("split.output.chunks + [inputs]")

    assert before == canonical_json(SCOPE)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("", ""),
        ("no places", "no places"),
        ("a } b }} c", "a } b }} c"),
        ("{ one brace }", "{ one brace }"),
        ("{{ inputs.email }}", "jane@example.com"),
        ("{{inputs.email}}!", "jane@example.com!"),
        ("{{ inputs.limit }}", 2),
        ("{{ inputs.nothing }}", None),
        ("{{ split.output.by_name }}", {"x": 1}),
        (" {{ inputs.limit }}", " 2"),
        ("{{ inputs.limit }}{{ inputs.ratio }}", "21.5"),
        ("is {{ inputs.nothing }}, {{ inputs.flag }}", "is null, true"),
        ("{{ split.output.chunks }} and {{\n inputs.limit + 1\n}}", '["a","b",{"text":"c"}] and 3'),
        ('{{ {"a": 1} }}', {"a": 1}),
    ],
)
def test_a_template_has_its_value(source: str, value: Json) -> None:
    assert value == render(source)


@given(st.text().filter(lambda text: "{{" not in text))
def test_a_text_without_places_is_itself(text: str) -> None:
    assert not is_template(text)
    assert text == parse_template(text).evaluate({})


@given(
    st.lists(st.text(st.characters(exclude_characters="{}"), max_size=5), min_size=2, max_size=5),
    st.text(st.characters(codec="utf-8")),
)
def test_places_are_filled_in_and_what_fills_them_is_not_read_again(literals: list[str], value: str) -> None:
    template = parse_template("{{ x }}".join(literals))

    filled = template.evaluate({"x": f"{{{{ y }}}}{value}"})

    assert f"{{{{ y }}}}{value}".join(literals) == filled


def test_the_references_of_a_template_are_those_of_its_places() -> None:
    template = parse_template("Dear {{ a.b }}, {{ c + a.b }}: c.d")

    assert ["a.b", "c", "a.b"] == [str(reference) for reference in template.references]


@pytest.mark.parametrize("source", ["{{", "a {{ b", "{{ }}", "{{ a }} {{ b", "{{ a b }}", "{{ a. }} {{ b }}"])
def test_a_place_that_is_open_or_holds_no_expression_is_refused(source: str) -> None:
    assert is_template(source)
    with pytest.raises(ExpressionInvalid):
        parse_template(source)


def test_equal_texts_are_parsed_once() -> None:
    assert parse_expression("a.b == 1") is parse_expression("a.b == 1")
    assert isinstance(parse_template("{{ a.b }}"), Template)
    assert parse_template("{{ a.b }}") is parse_template("{{ a.b }}")


@given(JSON_VALUES)
def test_a_list_position_is_followed_and_one_past_the_end_is_missed(value: Json) -> None:
    scope = {"items": [None, value]}

    assert follow(scope, Reference(root="items", path=("1",)), expression="items[1]") is value
    with pytest.raises(ExpressionFailed, match="'items' is a list without '2'"):
        follow(scope, Reference(root="items", path=("2",)), expression="items[2]")

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.dag_document import (
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_DEPTH,
    MAX_PROBLEMS,
    Document,
    document_from_data,
    in_order,
    json_path,
    parse_document,
)
from workflows.errors import SpecProblem, SpecUnreadable

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**18) + 1, max_value=10**18 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
)
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abc "\\\n😀', max_size=9), inner, max_size=4),
    max_leaves=12,
)


def refusal_of(text: str | bytes) -> SpecUnreadable:
    with pytest.raises(SpecUnreadable) as refusal:
        parse_document(text)
    return refusal.value


def value_of(yaml_value: str) -> object:
    return parse_document(f"v: {yaml_value}").data["v"]


def test_every_part_knows_its_line_and_column() -> None:
    document = parse_document("name: x\nnodes:\n  - id: a\n    depends: [b, c]\n")

    assert {"name": "x", "nodes": [{"id": "a", "depends": ["b", "c"]}]} == document.data
    assert (1, 1) == document.marks[()]
    assert (2, 1) == document.marks["nodes",]
    assert (3, 5) == document.marks["nodes", 0]
    assert (3, 5) == document.marks["nodes", 0, "id"]
    assert (4, 18) == document.marks["nodes", 0, "depends", 1]


@given(JSON_VALUES)
def test_json_is_read_as_what_it_says(value: object) -> None:
    assert {"v": value} == parse_document(json.dumps({"v": value})).data


def test_json_may_be_indented_with_tabs_and_escape_slashes() -> None:
    assert {"a": ["x/y"]} == parse_document('{\n\t"a": [\n\t\t"x\\/y"\n\t]\n}').data


def test_json_escapes_of_characters_past_the_first_plane_are_read() -> None:
    text = json.dumps({"a": "😀", "b": "\\ud83d\\ude00", "c": "\\😀😀"})

    assert "\\ud83d" in text
    assert {"a": "😀", "b": "\\ud83d\\ude00", "c": "\\😀😀"} == parse_document(text).data


def test_what_looks_like_an_escape_in_a_yaml_text_without_escapes_stays_as_it_is() -> None:
    assert "\\ud83d\\ude00" == value_of("'\\ud83d\\ude00'")


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ude00\\ud83d"])
def test_half_a_character_is_refused(half: str) -> None:
    refusal = refusal_of(f'{{"a": "{half}"}}')

    assert 1 == refusal.line


def test_a_text_with_half_a_character_in_it_is_refused() -> None:
    assert "it is not UTF-8 (byte 6)" == refusal_of("name: \ud800").reason


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("-.INF", "-.INF"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("<<", "<<"),
        ("=", "="),
        ("tRUE", "tRUE"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("007", 7),
        ("-5", -5),
        ("+5", 5),
        ("-0.5", -0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-99999", 0.0),
        ("999999999999999999", 999_999_999_999_999_999),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written: str, read: object) -> None:
    value = value_of(written)

    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize("number", ["1" + "0" * 18, "-" + "9" * 25, "9" * 400, "9" * 10_000])
def test_a_whole_number_that_others_would_round_is_refused(number: str) -> None:
    refusal = refusal_of(f"a: 1\nb: {number}")

    assert "a whole number has at most 18 digits; write it in quotes to have it as a text" == refusal.reason
    assert (2, 4) == (refusal.line, refusal.column)


@pytest.mark.parametrize("number", ["1e309", "-1e400", "1e99999", "9" * 400 + ".0"])
def test_a_number_past_all_measure_is_refused_and_not_made_infinite(number: str) -> None:
    refusal = refusal_of(f"b: {number}")

    assert "a number is at most 1.7e308; write it in quotes to have it as a text" == refusal.reason
    assert (1, 4) == (refusal.line, refusal.column)


@pytest.mark.parametrize(
    "value",
    [
        "!!int abc",
        "!!float nan",
        "!!float .inf",
        "!!bool maybe",
        "!!str 5",
        "!thing 5",
        "!x:str 5",
        "! 5",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!binary aGk=",
        "!!python/object/apply:os.system [ls]",
        "{!!int k: 1}",
    ],
)
def test_tags_are_refused_with_their_place(value: str) -> None:
    refusal = refusal_of(f"name: x\nv: {value}")

    assert "tags are not supported; write the value without one" == refusal.reason
    assert 2 == refusal.line


@pytest.mark.parametrize("text", ["a: &x 1\nb: *x", "a: &x {b: 1}", "a: 1\nb: &y [1]", "&k a: 1"])
def test_anchors_are_refused(text: str) -> None:
    assert "anchors and aliases are not supported; repeat the part" == refusal_of(text).reason


def test_a_document_that_would_unfold_without_measure_is_refused_at_its_first_anchor() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]

    refusal = refusal_of("\n".join(lines))

    assert (1, 4) == (refusal.line, refusal.column)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: [1, 2", 2, 1),
        ("a: 1\nb:\n\t- 2", 3, 1),
        ("a: 1\n b: 2", 2, 3),
        ("a: 'x", 1, 6),
        ("a: {b: 1}}", 1, 10),
        ("a: %x", 1, 4),
        ('{"a": 1,\n "b" 2}', 2, 6),
        ("a: 1\n---\nb: 2", 2, 1),
    ],
)
def test_what_does_not_parse_is_refused_with_line_and_column(text: str, line: int, column: int) -> None:
    refusal = refusal_of(text)

    assert (line, column) == (refusal.line, refusal.column)
    assert f"line {line}, column {column}: " in str(refusal)


def test_a_key_that_is_no_text_is_refused_with_its_place() -> None:
    refusal = refusal_of("a: 1\n? [x, y]\n: 2")

    assert ("a key must be a text", 2, 3) == (refusal.reason, refusal.line, refusal.column)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty; a workflow has at least `name` and `nodes`"),
        ("# only a comment\n", "it is empty; a workflow has at least `name` and `nodes`"),
        ("- a\n- b", "it is a list or a single value, not a mapping with `name` and `nodes`"),
        ("null", "it is a list or a single value, not a mapping with `name` and `nodes`"),
        ("just words", "it is a list or a single value, not a mapping with `name` and `nodes`"),
        (b"name: \xff\xfe", "it is not UTF-8 (byte 6)"),
        ("name: x".encode("utf-16"), "it is not UTF-8 (byte 0)"),
    ],
)
def test_what_is_no_mapping_of_text_is_refused(text: str | bytes, reason: str) -> None:
    assert reason == refusal_of(text).reason


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\ufffe"])
def test_control_characters_are_refused_with_their_place(character: str) -> None:
    refusal = refusal_of(f"name: größe\nv: 'ü{character}'")

    assert "control characters are not allowed" in refusal.reason
    assert (2, 6) == (refusal.line, refusal.column)


def test_a_byte_order_mark_is_no_part_of_the_document() -> None:
    assert {"name": "x"} == parse_document("\ufeffname: x".encode()).data


def test_a_document_of_ten_megabytes_is_refused_by_its_size() -> None:
    assert "it has 10,485,760 bytes; 1,048,576 are allowed" == refusal_of("#" * 10 * 1024 * 1024).reason


def test_the_size_counts_bytes_and_not_characters() -> None:
    fits = "# " + "é" * (MAX_DOCUMENT_BYTES // 2 - 4) + "\na: 1"

    assert {"a": 1} == parse_document(fits).data
    assert "bytes" in refusal_of(fits + "éé").reason


def test_nesting_is_allowed_to_the_limit_and_not_beyond() -> None:
    def nested(depth: int) -> str:
        return "a: " + "[" * (depth - 1) + "]" * (depth - 1)

    parse_document(nested(MAX_DOCUMENT_DEPTH))

    assert "it nests deeper than 48 levels" == refusal_of(nested(MAX_DOCUMENT_DEPTH + 1)).reason


@pytest.mark.parametrize("opening", ["[", "{", "? ", "- ", "{a: ", "[["])
def test_nesting_without_measure_is_refused_and_not_a_crash(opening: str) -> None:
    refusal = refusal_of(opening * (1_000_000 // len(opening)))

    assert ("it nests deeper than 48 levels", 1) == (refusal.reason, refusal.line)


def test_a_key_given_twice_is_a_problem_at_its_second_place_and_the_rest_is_read() -> None:
    document = parse_document("a: 1\nb: {c: 1, c: 2}\na: {d: 3}\n'1': x\n1: y")

    assert {"a": 1, "b": {"c": 1}, "1": "x"} == document.data
    assert ("a", "d") not in document.marks
    expected = [("duplicate_key", "$.b.c", 2), ("duplicate_key", "$.a", 3), ("duplicate_key", '$["1"]', 5)]
    assert expected == [(problem.code, problem.path, problem.line) for problem in document.problems]
    assert "the key 'a' stands here a second time; keep one" == document.problems[1].message


def test_keys_given_twice_without_number_are_noted_up_to_a_limit() -> None:
    document = parse_document("a: 1\n" * 2_000)

    assert MAX_PROBLEMS + 1 == len(document.problems)


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ((), "$"),
        (("nodes", 2, "id"), "$.nodes[2].id"),
        (("a b",), '$["a b"]'),
        (("a.b", 0), '$["a.b"][0]'),
        (("",), '$[""]'),
        (("0",), '$["0"]'),
        (("größe",), '$["größe"]'),
        (("a\nline 1: all is well",), '$["a\\nline 1: all is well"]'),
        (('"\x1b[31m',), '$["\\"\\u001b[31m"]'),
    ],
)
def test_a_json_path_cannot_be_taken_for_another(path: tuple[str | int, ...], written: str) -> None:
    assert written == json_path(path)


def test_a_problem_of_a_part_that_is_missing_has_the_line_of_the_nearest_part() -> None:
    document = parse_document("name: x\nnodes:\n- id: a\n")

    problem = document.problem("missing", ("nodes", 0, "config", "tool_name"), "it is missing")

    assert ("$.nodes[0].config.tool_name", 3, 3) == (problem.path, problem.line, problem.column)
    assert "line 3, $.nodes[0].config.tool_name: it is missing" == str(problem)


def test_a_document_that_came_as_data_has_problems_without_lines() -> None:
    problem = document_from_data({"name": "x"}).problem("missing", ("nodes",), "it is missing")

    assert SpecProblem(code="missing", path="$.nodes", message="it is missing") == problem
    assert "$.nodes: it is missing" == str(problem)


def test_problems_are_put_in_the_order_of_the_document_and_cut_where_no_one_reads_on() -> None:
    document = Document(data={}, marks={(number,): (number, 1) for number in range(1, 500)})
    problems = [document.problem("wrong_type", (number,), "wrong") for number in range(499, 0, -1)]

    ordered = in_order(problems)

    assert list(range(1, MAX_PROBLEMS + 1)) == [problem.line for problem in ordered[:-1]]
    assert "more_problems" == ordered[-1].code


@pytest.mark.parametrize("text", ['name: "a\\0b"', '{"name": "a\\u0000b"}'])
def test_an_escaped_nul_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(SpecUnreadable) as refusal:
        parse_document(text)

    assert 1 == refusal.value.line
    assert "NUL" in refusal.value.reason

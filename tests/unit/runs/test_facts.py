from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import Json, canonical_json
from runs.expressions import parse_expression
from runs.facts import MAX_FACT_BYTES, extract_facts, facts_as_scope, is_large, only_marks
from runs.plan import Fact
from tests.unit.json_values import JSON_VALUES

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, max_size=3).map(tuple)
OUTPUTS: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.none() | st.lists(st.integers(), max_size=3),
    lambda parts: st.dictionaries(NAMES, parts, max_size=3),
    max_leaves=8,
)


def value_at(*path: str) -> Fact:
    return Fact(path=path, kind="value")


def size_at(*path: str) -> Fact:
    return Fact(path=path, kind="size")


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (value_at(), {"value:": {"a": {"b": [1, 2]}, "n": None}}),
        (value_at("a", "b"), {"value:a.b": [1, 2]}),
        (value_at("n"), {"value:n": None}),
        (size_at("a", "b"), {"size:a.b": 2}),
        (size_at("a"), {"size:a": -1}),
        (size_at("n"), {"size:n": -1}),
        (value_at("x"), {}),
        (size_at("x"), {}),
        (value_at("a", "b", "c"), {}),
        (value_at("n", "x"), {}),
    ],
)
def test_a_fact_is_what_stands_at_its_path(fact: Fact, expected: dict[str, Json]) -> None:
    assert expected == extract_facts({"a": {"b": [1, 2]}, "n": None}, [fact])


@pytest.mark.parametrize(("output", "size"), [([], 0), ([1, 2], 2), ((1,), 1), ("text", -1), ({}, -1), (None, -1)])
def test_only_a_list_has_a_size(output: Json, size: int) -> None:
    assert {"size:": size} == extract_facts(output, [size_at()])


def test_a_value_of_the_greatest_size_is_a_fact_and_of_a_larger_one_there_is_a_mark() -> None:
    largest = "x" * (MAX_FACT_BYTES - 2)

    assert {"value:a": largest} == extract_facts({"a": largest}, [value_at("a")])
    assert {"large:a": True} == extract_facts({"a": f"{largest}x"}, [value_at("a")])
    assert {} == facts_as_scope({"large:a": True})


def test_size_is_measured_in_bytes_not_in_characters() -> None:
    assert {"large:": True} == extract_facts("é" * (MAX_FACT_BYTES // 2), [value_at()])


@pytest.mark.parametrize(
    ("path", "expected"),
    [(("a", "b"), True), (("a",), True), ((), True), (("a", "b", "c"), True), (("a", "x"), False), (("b",), False)],
)
def test_what_stands_above_or_below_a_large_value_is_large_too(path: tuple[str, ...], expected: bool) -> None:
    assert expected is is_large({"large:a.b": True, "value:b": 1}, path)
    assert is_large({"large:": True}, path)
    assert not is_large({"value:a.b": 1, "size:a": 2}, path)


def test_facts_that_are_too_many_become_marks_and_stay_sizes() -> None:
    assert {"large:a": True, "size:": 2} == only_marks({"value:a": 1, "size:": 2})


def test_the_number_of_items_is_a_fact_whatever_the_items_weigh() -> None:
    assert {"size:": 3} == extract_facts(["x" * MAX_FACT_BYTES] * 3, [size_at()])


@given(OUTPUTS, st.lists(PATHS, min_size=1, max_size=5))
def test_an_expression_reads_from_facts_what_it_reads_from_the_output(
    output: Any, paths: list[tuple[str, ...]]
) -> None:
    facts = extract_facts(output, [value_at(*path) for path in paths])
    from_facts = {"node": {"output": facts_as_scope(facts)}}
    from_output = {"node": {"output": output}}

    for path in paths:
        if f"value:{'.'.join(path)}" in facts:
            expression = parse_expression(".".join(("node.output", *path)))
            assert expression.evaluate(from_output) == expression.evaluate(from_facts)


@given(OUTPUTS, st.lists(PATHS, max_size=5))
def test_facts_in_another_order_give_the_same_scope(output: Any, paths: list[tuple[str, ...]]) -> None:
    facts = extract_facts(output, [value_at(*path) for path in paths])

    assert facts_as_scope(facts) == facts_as_scope(dict(reversed([*facts.items()])))


@given(OUTPUTS, st.lists(PATHS, max_size=5))
def test_making_a_scope_changes_neither_the_output_nor_its_facts(output: Any, paths: list[tuple[str, ...]]) -> None:
    facts = extract_facts(output, [value_at(*path) for path in paths])
    before = canonical_json(output), canonical_json(facts)

    facts_as_scope(facts)

    assert before == (canonical_json(output), canonical_json(facts))


@given(JSON_VALUES)
def test_the_whole_output_as_a_fact_is_the_whole_scope(output: Json) -> None:
    facts = extract_facts(output, [value_at(), value_at("a"), size_at()])

    assert output == facts_as_scope(facts)


def test_sizes_are_no_part_of_the_scope() -> None:
    assert {} == facts_as_scope({})
    assert {"b": 1} == facts_as_scope({"size:a": 3, "value:b": 1})


def test_a_fact_below_a_fact_is_read_from_either() -> None:
    assert {"a": {"b": 1, "c": 2}} == facts_as_scope({"value:a": {"b": 1, "c": 2}, "value:a.b": 1})
    assert {"a": {"b": 1, "d": {"e": 2}}} == facts_as_scope({"value:a.b": 1, "value:a.d.e": 2})

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import FunctionFailed
from activities.functions.result_merger import RESULT_MERGER, merge_results
from tests.unit.json_values import JSON_VALUES, TEXTS


@pytest.mark.parametrize(
    ("results", "merged", "count"),
    [
        (["a", "b"], "a\n\nb", 2),
        ([[1], [], [2, [3]]], [1, 2, [3]], 3),
        ([{"a": 1, "b": 1}, {"b": 2}], {"a": 1, "b": 2}, 2),
        (["a", None, "b"], "a\n\nb", 2),
        ([None, [1]], [1], 1),
        ([], "", 0),
        ([None, None], "", 0),
    ],
)
def test_results_of_one_type_become_one_and_nulls_are_left_out(results: list[Any], merged: Any, count: int) -> None:
    assert {"merged": merged, "count": count} == RESULT_MERGER.call({"results": results})


def test_texts_are_joined_with_the_separator_that_is_asked_for() -> None:
    assert "a, b" == RESULT_MERGER.call({"results": ["a", "b"], "separator": ", "})["merged"]
    assert "ab" == RESULT_MERGER.call({"results": ["a", "b"], "separator": ""})["merged"]


@pytest.mark.parametrize("results", [["a", ["b"]], [{}, []], [1, 2], [True], ["a", 0], [{}, "a"]])
def test_a_mixture_of_types_is_refused_without_quoting_it(results: list[Any]) -> None:
    with pytest.raises(FunctionFailed) as refusal:
        merge_results(results, separator="")

    assert ("result_merger", "function.failed") == (refusal.value.function, refusal.value.code)


@given(
    results=st.lists(TEXTS) | st.lists(st.lists(JSON_VALUES, max_size=3)) | st.lists(st.dictionaries(TEXTS, TEXTS)),
    at=st.integers(min_value=0, max_value=20),
)
def test_merging_in_two_steps_gives_what_one_step_gives(results: list[Any], at: int) -> None:
    parts = [part for part in (results[:at], results[at:]) if part]

    in_two_steps = merge_results([merge_results(part, separator="") for part in parts], separator="")

    assert merge_results(results, separator="") == in_two_steps

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import Json
from promptops.errors import RenderFailed
from promptops.rendering.filters import FILTERS
from promptops.rendering.operation_costs import compare, pay_for_filter
from promptops.rendering.render_limits import CHARACTERS_PER_STEP, RenderBudget
from tests.unit.promptops.prompts import render_text

#: No more of a value than its size or one item is looked at.
GLANCING = {"default", "first", "last", "length"}

#: Of the size n: each filter with values that make it do as much as it can.
WORST_CASES: dict[str, Callable[[int], tuple[Json, ...]]] = {
    "default": lambda n: ("a" * n, "b"),
    "first": lambda n: ([1] * n,),
    "float": lambda n: ("9" * n,),
    "indent": lambda n: ("a\n" * (n // 2), 4),
    "int": lambda n: ("9" * n,),
    "join": lambda n: (["a"] * n, "b"),
    "last": lambda n: ([1] * n,),
    "length": lambda n: ("a" * n,),
    "lower": lambda n: ("Ü" * n,),
    "replace": lambda n: ("a" * n, "a" * (n // 2) + "b", "c"),
    "round": lambda n: (2 ** min(n, 999), 1),
    "sort": lambda n: (["a" * (n // 256) + chr(97 + item % 26) for item in range(256)],),
    "string": lambda n: ([1] * n,),
    "title": lambda n: ("a " * (n // 2),),
    "tojson": lambda n: ([1] * n, 4),
    "trim": lambda n: ("a" * n, "b" * n + "a"),
    "truncate": lambda n: ("a" * n, n - 1),
    "upper": lambda n: ("ü" * n,),
}


def steps_of(name: str, size: int) -> int:
    budget = RenderBudget()
    pay_for_filter(budget, name, WORST_CASES[name](size))
    return budget.steps_spent


def test_each_filter_has_its_worst_case_here() -> None:
    assert set(FILTERS) == set(WORST_CASES)


@pytest.mark.parametrize("name", sorted(set(FILTERS) - GLANCING - {"round"}))
def test_a_filter_is_paid_by_the_size_of_what_it_is_given_before_it_runs(name: str) -> None:
    assert steps_of(name, 65_536) >= 65_536 // CHARACTERS_PER_STEP


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_twice_the_work_takes_about_twice_the_steps(name: str) -> None:
    assert steps_of(name, 131_072) <= 2 * steps_of(name, 65_536) + 8


@pytest.mark.parametrize("name", sorted(GLANCING))
def test_what_looks_at_no_more_than_a_size_costs_one_step(name: str) -> None:
    assert steps_of(name, 65_536) == 1


@given(
    text=st.text(alphabet="ab ü\n😀", max_size=40),
    chars=st.none() | st.text(alphabet="ab ü\n😀", max_size=8),
)
def test_trim_takes_away_what_strip_takes_away(text: str, chars: str | None) -> None:
    assert text.strip(chars) == FILTERS["trim"](text, chars)


def test_a_long_text_is_trimmed_of_as_many_characters() -> None:
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))

    assert render_text("{{ (text | trim(letters)) ~ '.' }}", text=letters * 7, letters=letters[::-1]) == "."


OPERATORS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


@given(values=st.lists(st.integers(-3, 3), min_size=2, max_size=4), names=st.data())
def test_a_chain_of_comparisons_holds_when_each_of_them_does(values: list[int], names: st.DataObject) -> None:
    chosen = [names.draw(st.sampled_from(sorted(OPERATORS))) for _ in values[1:]]
    chain: list[object] = [values[0]]
    for name, value in zip(chosen, values[1:], strict=True):
        chain += [name, value]

    holds = all(OPERATORS[name](left, right) for name, left, right in zip(chosen, values[:-1], values[1:], strict=True))

    assert holds == compare(RenderBudget(), *chain)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("1 < 2 < 3", "yes"),
        ("1 < 3 < 2", "no"),
        ("'b' in 'abc'", "yes"),
        ("'b' not in 'abc'", "no"),
        ("2 in xs", "yes"),
        ("'2' in xs", "no"),
        ("[1, 2] == xs", "yes"),
        ("'k' in m", "yes"),
        ("'v' in m", "no"),
        ("m == {'k': 'v'}", "yes"),
        ("2 is even and 3 is odd and 2.0 is even", "yes"),
    ],
)
def test_conditions_read_as_in_python(condition: str, expected: str) -> None:
    text = render_text("{% if " + condition + " %}yes{% else %}no{% endif %}", xs=[1, 2], m={"k": "v"})

    assert expected == text


@pytest.mark.parametrize("test", ["even", "odd"])
@pytest.mark.parametrize("value", ["%999999999d", [1], {"a": 1}, True, None])
def test_even_and_odd_format_no_text(test: str, value: Json) -> None:
    with pytest.raises(RenderFailed, match="need a number"):
        render_text("{% if value is " + test + " %}x{% endif %}y", value=value)

"""Expressions drawn at random have the value that CEL in Rust (`common-expression-language`) gives them.

So what older plans say keeps its meaning. Where ours gives a value and CEL none, numbers were mixed, or an error was
absorbed by what decided; where CEL gives one and ours none, it takes something that JSON or the language has not.
"""

import math
from typing import Any

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import ExpressionFailed, ExpressionInvalid
from runs.expressions import parse_expression

SCOPE: dict[str, Any] = {
    "n": 7,
    "f": 2.5,
    "s": "text",
    "b": True,
    "z": None,
    "l": [3, 1, 2],
    "m": {"n": 1, "s": "x", "l": [{"k": 1}, {"k": 2}]},
}
_NUMBERS = st.sampled_from(["n", "3", "-2", "m.n", "l[0]", "size(l)", "l[1]", "x"])
_DOUBLES = st.sampled_from(["f", "0.5", "-1.25", "double(n)"])
_TEXTS = st.sampled_from(["s", "'te'", "m.s", '"x"', "'a' + s"])
_LISTS = st.sampled_from(["l", "[1, 2]", "[]", "m.l.map(o, o.k)", "l.filter(i, i > 1)", "l + [x]"])


def _numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "%"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda n: f"-({n})"),
    )


NUMBERS = st.recursive(_NUMBERS, _numbers, max_leaves=6)
DOUBLES = st.recursive(_DOUBLES, _numbers, max_leaves=4).filter(lambda text: "%" not in text)
_ORDER = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
_ASKED = st.one_of(
    st.tuples(NUMBERS, _ORDER, NUMBERS).map(" ".join),
    st.tuples(DOUBLES, _ORDER, DOUBLES).map(" ".join),
    st.tuples(NUMBERS, _ORDER, DOUBLES).map(" ".join),
    st.tuples(_TEXTS, _ORDER, _TEXTS).map(" ".join),
    st.tuples(NUMBERS, st.just("in"), _LISTS).map(" ".join),
    st.tuples(_TEXTS, st.sampled_from(["contains", "startsWith", "endsWith"]), _TEXTS).map(
        lambda t: f"({t[0]}).{t[1]}({t[2]})"
    ),
    st.tuples(_LISTS, st.sampled_from(["==", "!="]), _LISTS).map(" ".join),
    st.sampled_from(["b", "true", "false", "has(m.n)", "has(m.zz)", "z == null", "s == null", "type(n) == int"]),
)
CONDITIONS = st.recursive(
    _ASKED,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        inner.map(lambda c: f"!({c})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) ? ({t[1]}) : ({t[2]})"),
        st.tuples(_LISTS, st.sampled_from(["all", "exists", "exists_one"]), inner).map(
            lambda t: f"({t[0]}).{t[1]}(x, {t[2]})"
        ),
    ),
    max_leaves=6,
)
ANY = st.one_of(
    CONDITIONS,
    NUMBERS,
    DOUBLES,
    _TEXTS,
    st.tuples(_LISTS, NUMBERS).map(lambda t: f"({t[0]}).map(x, {t[1]})"),
    st.tuples(_LISTS, CONDITIONS).map(lambda t: f"({t[0]}).filter(x, {t[1]})"),
)


@given(ANY, st.integers(-9, 9))
def test_an_expression_has_the_value_that_cel_gives_it(source: str, x: int) -> None:
    scope = {**SCOPE, "x": x}
    expression = parse_expression(source)
    try:
        expected = cel.compile(source).execute(scope)
    except (ArithmeticError, LookupError, TypeError, RuntimeError, ValueError):
        return

    value = expression.evaluate(scope)

    assert type(expected) is type(value)
    assert expected == pytest.approx(value) if isinstance(value, float) and math.isfinite(value) else expected == value


@pytest.mark.parametrize(
    "source",
    [
        r"'\x41\u00e9\U0001F600\101\t\'' + r'\d' + \"\"\"a\"b\"\"\"".replace('\\"', '"'),
        "0x1F + 1 // comment",
        "1e3 + .5",
        "'a' < 'b' ? 1 : 2",
        "1 - -1 - 2 * 3 % 4",
        "!true || !!true",
        "[1, 2,]",
        "{'a': 1,}.a",
        "m['l'][1].k",
        "b'\\xff' == b'\\377'",
        "l.map(i, i > 1, i * 2)",
        "[[1], [2, 3]].map(row, row.map(cell, cell + n))",
    ],
)
def test_the_syntax_is_read_as_cel_reads_it(source: str) -> None:
    assert cel.compile(source).execute(SCOPE) == parse_expression(source).evaluate(SCOPE)


@pytest.mark.parametrize(
    "source",
    [
        "1 +",
        "true ? false ? 1 : 2 : 3",
        "a b",
        "a.",
        "(1",
        "[1",
        "{1}",
        "'a",
        "1..2",
        "a ? b",
        "a.in",
        "if",
        "1 = 2",
        "&& a",
        "a(",
        "!",
        "'\\q'",
    ],
)
def test_what_cel_refuses_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="Failed to parse"):
        cel.compile(source)
    with pytest.raises(ExpressionInvalid):
        parse_expression(source)


def test_a_condition_must_be_true_or_false() -> None:
    for text, shown in (("v", "a text ('true')"), ("v == 'x' ? 1 : 2", "a number"), ("[v]", "a list"), ("z", "null")):
        with pytest.raises(ExpressionFailed, match="must give true or false, and this gives") as failure:
            parse_expression(text).holds({"v": "true", "z": None})
        assert shown in failure.value.reason
    assert parse_expression("v").holds({"v": "true"}, dialect=1) is False

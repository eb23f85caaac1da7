"""What expressions cost is counted, so no clock is asked here: the limits are those of `runs.expressions`."""

from typing import Any

import pytest

from runs.errors import ExpressionFailed, ExpressionTooCostly
from runs.expressions import SCHEDULING, STEP, Limits, parse_expression, parse_template

ITEMS = list(range(500))
SCOPE: dict[str, Any] = {
    "l": ITEMS,
    "t": "a" * 100_000,
    "wide": list(range(20_000)),
    "deep": [[["x"] * 100] * 100] * 100,
    "objects": [{"n": number, "tags": ["a", "b"]} for number in range(2_000)],
}


@pytest.mark.parametrize(
    "source",
    [
        "size(l.map(a, l.map(b, l.map(c, 0))))",
        "l.all(a, l.all(b, l.all(c, a + b + c >= 0)))",
        "l.exists(a, l.exists(b, l.exists(c, a + b + c < 0)))",
        "l.filter(a, l.exists_one(b, l.all(c, true)))",
        "[t]" + ".map(a, a + a)" * 26,
        "[l]" + ".map(a, a + a)" * 26,
        "[0]" + ".map(a, [a, a])" * 30,
        "{'a': " * 20 + "l.map(a, l.map(b, [t, t]))" + "}" * 20,
        "t.replace('', t)",
        "t.split('').map(a, t).join('')",
        "l.map(a, t.matches('(x+x+)+y'))",
        "deep == deep && deep == deep && deep == deep",
        "l.map(a, deep)",
        "lists.range(1000000000)",
        "lists.range(4000).map(i, ''.matches('(.{1,30}y){9}' + string(i)))",
        "l.map(i, t.lastIndexOf('ab' + t))",
        "lists.range(100000).map(a, lists.range(100000).sort())",
        "l.map(a, objects).flatten().distinct()",
        "objects.sortBy(o, objects.sortBy(p, p.n).size())",
        "l.map(a, l.map(b, base64.encode(t))).flatten().join()",
        "l.map(a, t).distinct().map(b, objects.map(o, b.contains('b')))",
        "l.map(a, l.map(b, l in [l]))",
        "l.all(a, l.all(b, l.all(c, true))) || true",
        "wide.map(a, wide.indexOf(-1))",
        "wide.map(a, math.greatest(wide))",
        "wide.map(a, wide.distinct().size())",
    ],
)
def test_an_expression_that_costs_too_much_is_stopped_at_its_limit(source: str) -> None:
    expression = parse_expression(source)

    for limits in (SCHEDULING, Limits(steps=200_000, memory=4_000_000)):
        with pytest.raises(ExpressionTooCostly) as first:
            expression.evaluate(SCOPE, limits.meter())
        with pytest.raises(ExpressionTooCostly) as again:
            expression.evaluate(SCOPE, limits.meter())
        assert str(first.value) == str(again.value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("l.filter(a, a > 490).size()", 9),
        ("objects.filter(o, o.n > 1990 && 'a' in o.tags).map(o, o.n).sum()", 17_955),
        ("l.map(a, string(a)).join(',').size()", 1_889),
        ("objects.all(o, o.tags.size() == 2)", True),
    ],
)
def test_what_people_write_is_far_within_the_limits(source: str, value: object) -> None:
    assert value == parse_expression(source).evaluate(SCOPE, STEP.meter())


def test_a_condition_may_go_over_every_fact_that_fits() -> None:
    # Facts have up to 4 KiB: as short as items get, 2,000 of them.
    assert parse_expression("f.exists(x, x == 9)").evaluate({"f": [1] * 2_000}) is False


def test_the_places_of_a_text_share_one_limit() -> None:
    template = parse_template("{{ t }}" * 500)

    with pytest.raises(ExpressionTooCostly):
        template.evaluate(SCOPE, STEP.meter())


@pytest.mark.parametrize(
    "source",
    [
        "+".join(["1"] * 2_000),
        "a" + ".b" * 2_000,
        "!" * 4_000 + "true",
        "a" + "[0]" * 1_300,
        "false ? 1 : " * 330 + "2",
    ],
)
def test_long_chains_are_evaluated_without_recursion(source: str) -> None:
    told = ""
    try:
        parse_expression(source).evaluate({"a": 1})
    except ExpressionFailed as failure:
        told = failure.reason

    assert "nested" not in told


def test_values_that_nest_too_deeply_are_told() -> None:
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(ExpressionFailed, match="nested too deeply"):
        parse_expression("deep == other").evaluate({"deep": deep, "other": [deep]})
    with pytest.raises(ExpressionFailed):
        parse_expression("[deep]").evaluate({"deep": deep})

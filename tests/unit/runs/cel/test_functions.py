import re
from pathlib import Path
from typing import Any

import pytest

from agentflow.digest import Json
from runs.cel.functions import FUNCTIONS
from runs.errors import ExpressionFailed, ExpressionInvalid
from runs.expressions import parse_expression

SCOPE: dict[str, Any] = {
    "s": "Ada Lovelace",
    "l": [3, 1, 2],
    "words": ["b", "a"],
    "people": [{"name": "Bo", "age": 30}, {"name": "Al", "age": 25.5}],
    "price": 10,
    "net": 30.0,
    "half": "bad \ud83d end",
}


def evaluate(source: str) -> Any:
    return parse_expression(source).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("size('é') + size(l) + size({'a': 1})", 5),
        ("s.lowerAscii() + s.upperAscii()", "ada lovelaceADA LOVELACE"),
        ("'Ünï'.upperAscii()", "ÜNï"),
        ("'  x\\n'.trim()", "x"),
        ("s.replace('a', 'o')", "Ado Loveloce"),
        ("s.replace('a', 'o', 1)", "Ado Lovelace"),
        ("'abc'.replace('', '-')", "-a-b-c-"),
        ("'a,b,,c'.split(',')", ["a", "b", "", "c"]),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("'a,b,c'.split(',', 0)", []),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("'abc'.split('', 2)", ["a", "bc"]),
        ("words.join(', ')", "b, a"),
        ("words.join()", "ba"),
        ("s.substring(4)", "Lovelace"),
        ("s.substring(0, 3)", "Ada"),
        ("s.charAt(0) + 'x'.charAt(1)", "A"),
        ("s.indexOf('a') + s.indexOf('z') + l.indexOf(1.0)", 2),
        ("s.lastIndexOf('a')", 9),
        ("s.reverse() + words.reverse().join()", "ecalevoL adAab"),
        ("strings.quote('a\"b')", '"a\\"b"'),
        ("base64.encode(b'hi') + base64.encode('hi')", "aGk=aGk="),
        ("string(base64.decode('aGk='))", "hi"),
        ("s.contains('Love') && s.startsWith('Ada') && s.endsWith('ce') && l.contains(2)", True),
        ("s.matches('^A.a') && matches(s, 'L')", True),
        ("half.size() + half.replace('bad', '').size()", 15),
        ("half.matches('end$')", True),
        ("string(30.0) + string(1) + string(1.5) + string(true)", "3011.5true"),
        ("string(timestamp('2026-03-01T12:00:00+02:00'))", "2026-03-01T10:00:00+00:00"),
        ("string(duration('1h30m'))", "5400s"),
        ("int('42') + int(2.9) + int(-2.9) + int(timestamp('1970-01-01T00:01:00Z'))", 102),
        ("double('1.5') + double(2)", 3.5),
        ("bool('true') && !bool('0')", True),
        ("uint(3)", 3),
        ("dyn(1)", 1),
        ("math.greatest(1, 2.5, -1) + math.least([3, 2])", 4.5),
        ("[math.ceil(1.2), math.floor(-1.2), math.round(2.5), math.round(-2.5), math.trunc(-1.9)]", [2, -2, 3, -3, -1]),
        ("math.abs(-2) + math.sign(-0.5) + math.sqrt(9)", 4.0),
        ("math.bitAnd(6, 3) + math.bitOr(6, 3) + math.bitXor(6, 3)", 14),
        ("math.bitShiftLeft(1, 3) + math.bitShiftRight(16, 2)", 12),
        ("l.sort() + [l.min(), l.max(), l.sum(), l.first(), l.last()]", [1, 2, 3, 1, 3, 6, 3, 2]),
        ("[].sum()", 0),
        ("[1, 1.0, 'a', 'a', [1], [1.0], true].distinct()", [1, "a", [1], True]),
        ("[[1, [2]], 3].flatten() + [[1, [2]]].flatten(2)", [1, [2], 3, 1, 2]),
        ("l.slice(1, 3)", [1, 2]),
        ("lists.range(3)", [0, 1, 2]),
        ("people.sortBy(p, p.age).map(p, p.name)", ["Al", "Bo"]),
        ("sets.contains(l, [1, 2.0]) && sets.intersects(l, [9, 3]) && sets.equivalent([1, 1], [1])", True),
        ("timestamp('2026-03-01T09:30:15.250Z').getHours()", 9),
        ("timestamp('2026-03-01T23:30:00Z').getHours('Europe/Berlin')", 0),
        ("timestamp('2026-03-01T23:30:00Z').getHours('+02:30')", 2),
        ("timestamp(0).getFullYear() + timestamp(86400).getDate()", 1972),
        ("timestamp('2026-03-01T00:00:00Z').getDayOfWeek()", 0),
        ("timestamp('2026-03-01T00:00:00Z').getMonth()", 2),
        ("timestamp('2026-03-01T00:00:00Z').getDayOfYear() + timestamp('2026-03-02T00:00:00Z').getDayOfMonth()", 60),
        ("timestamp('2026-03-01T00:00:01.25Z').getMilliseconds() + duration('1.5s').getMilliseconds()", 750),
        ("duration('90m').getHours() + duration('90m').getMinutes() + duration('90m').getSeconds()", 5491),
        ("timestamp('2026-03-01T00:00:00Z') + duration('1h') > timestamp('2026-03-01T00:59:00Z')", True),
        ("timestamp('2026-03-02T00:00:00Z') - timestamp('2026-03-01T00:00:00Z') == duration('24h')", True),
    ],
)
def test_a_function_gives_its_value(source: str, value: Json) -> None:
    assert value == evaluate(source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("l.lowerAscii()", "lowerAscii() needs a text, not a list"),
        ("s.sum()", "sum() needs a list, not a text"),
        ("words.sum()", "sum() needs a number, not a text"),
        ("[].max()", "max() needs a list with items, and this one is empty"),
        ("[1, 'a'].sort()", "a text and a number have no order"),
        ("s.substring(5, 2)", "substring(5, 2) is outside of a text of 12 characters"),
        ("l.slice(0, 9)", "slice(0, 9) is outside of a list of 3 items"),
        ("s.charAt(1.5)", "charAt() needs a whole number"),
        ("int('x')", "int() needs a text that is a number, such as '42'"),
        ("string(l)", "string() needs a text, a number, a boolean or a time, not a list"),
        ("timestamp('2026-03-01')", "timestamp() needs a text such as '2026-03-01T09:30:00Z'"),
        ("timestamp(0).getHours('Atlantis')", "there is no time zone of that name; write one such as 'Europe/Berlin'"),
        ("s.getHours()", "getHours() needs a timestamp, not a text; write timestamp(x).getHours()"),
        ("timestamp('9999-12-31T00:00:00Z') + duration('48h')", "outside of the years 1 to 9999"),
        ("math.sqrt(-1)", "math.sqrt() needs a number that is not negative"),
        ("base64.decode('?')", "base64.decode() needs a text in base64"),
        ("s.matches(s + '(')", "the pattern that matches() was given cannot be used"),
    ],
)
def test_a_function_without_a_value_says_what_it_needs(source: str, reason: str) -> None:
    with pytest.raises(ExpressionFailed) as failure:
        evaluate(source)

    assert reason in failure.value.reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s.lowerASCII()", "there is no function .lowerASCII(): did you mean text.lowerAscii()?; there are base64."),
        ("now()", "there is no function now(): expressions have no clock; pass the time as an input"),
        ("len(s)", "there is no function len(): write size(x)"),
        ("lowerAscii(s)", "lowerAscii() is written text.lowerAscii()"),
        ("s.int()", ".int() is written int(x)"),
        ("math.rond(1)", "there is no function math.rond(): did you mean math.round(x)?"),
        ("s.replace('a')", "replace() is written text.replace(old, new[, limit])"),
        ("l.map(x)", "map() is written list.map(x, …)"),
        ("s.matches('(?=a)')", "pattern '(?=a)' cannot be used: it looks ahead"),
        ("s.matches(r'(a)\\1')", "it refers back to a group"),
        ("Message{a: 1}", "there is no message type `Message`; a map is written {'key': value}"),
        ("a = 1", "'=' at character 3 is not part of an expression"),
        ("1 + for", "`for` is a reserved word of CEL"),
        ("(1", "it ends where `)` is needed"),
        ("'a\\qb'", "\\q is no escape"),
        ("9223372036854775808", "has more than 64 bits"),
    ],
)
def test_what_there_is_not_is_told_before_anything_runs(source: str, reason: str) -> None:
    with pytest.raises(ExpressionInvalid) as refusal:
        parse_expression(source)

    assert reason in refusal.value.reason


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("price * 1.5", 15.0),
        ("net * 1.5", 45.0),
        ("price + net - 0.5", 39.5),
        ("7 / 2", 3.5),
        ("7.0 / 2", 3.5),
        ("6 / 2", 3),
        ("-7 % 2", -1),
        ("7.5 % 2", 1.5),
        ("net == 30 && type(net) == type(30)", True),
        ("l[1.0]", 1),
        ("30 in [net]", True),
        ("{'a': 1} == {'a': 1.0}", True),
        ("true == 1", False),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_numbers_are_of_one_kind(source: str, value: Json) -> None:
    assert value == evaluate(source)
    assert type(value) is type(evaluate(source))


def test_plans_of_the_first_dialect_cut_quotients_off() -> None:
    assert -3 == parse_expression("-7 / 2").evaluate({}, dialect=1)
    assert 3.5 == parse_expression("7.0 / 2").evaluate({}, dialect=1)


@pytest.mark.parametrize("source", ["true || 1 / 0 > 1", "1 / 0 > 1 || true", "[0, 1].exists(v, 1 / v == 1)"])
def test_what_decides_absorbs_the_faults_of_others(source: str) -> None:
    assert evaluate(source) is True


@pytest.mark.parametrize("source", ["false || 1 / 0 > 1", "[0, 1].all(v, 1 / v == 1)", "1 && true"])
def test_a_fault_stays_where_nothing_decides(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        evaluate(source)


def test_every_function_is_documented() -> None:
    page = Path("docs/expressions.md").read_text()

    written = re.findall(r"`([^`]+)`", page)

    assert set() == {function.usage for function in FUNCTIONS.values()}.difference(written)

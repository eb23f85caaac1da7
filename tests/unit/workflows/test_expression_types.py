import pytest

from workflows.expression_types import types_by_form


@pytest.mark.parametrize(
    "source",
    [
        "true", "!a", "(a == b)", "a in b", "a < 3", "has(a.b)", "a.b.exists(p, p.c)", "a.contains('x') && b",
        "((a.endsWith(')')))", "a ? b == c : false", "a < 3 ? true : b ? false : c != d",
    ],
)  # fmt: skip
def test_the_form_of_a_condition_says_that_it_is_true_or_false(source: str) -> None:
    assert frozenset({"boolean"}) == types_by_form(source)


@pytest.mark.parametrize(
    ("source", "types"),
    [
        ("'a'", {"string"}),
        ('"it\'s"', {"string"}),
        ("'''a ? b : c'''", {"string"}),
        ("r'\\'", {"string"}),
        ("a ? 'yes' : 'no'", {"string"}),
        ("a == b ? 1 : 'x'", {"integer", "number", "string"}),
        ("size(a.b)", {"integer", "number"}),
        ("a.size()", {"integer", "number"}),
        ("-1.5", {"integer", "number"}),
        ("a * 2", {"integer", "number"}),
        ("a + b", {"integer", "number", "string", "array"}),
        ("string(a)", {"string"}),
        ("[a, b == c]", {"array"}),
        ("{'a': b == c}", {"object"}),
        ("a.map(x, x == 1)", {"array"}),
        ("null", {"null"}),
    ],
)
def test_the_form_of_an_expression_says_what_it_gives(source: str, types: set[str]) -> None:
    assert frozenset(types) == types_by_form(source)


@pytest.mark.parametrize(
    "source",
    ["a", "a.b", "a[0]", "[a, b][0]", "{'a': 1}.a", "f(a)", "a.f(b)", "a ? b : 1", "size(a)[0]", "f(a).b", "'a'[0]"],
)
def test_what_the_form_does_not_say_is_not_known(source: str) -> None:
    assert types_by_form(source) is None

import pytest

from promptops.errors import TemplateInvalid
from promptops.rendering.render_limits import MAX_TEMPLATE_BYTES
from promptops.rendering.template_compiler import check_template


@pytest.mark.parametrize(
    ("template", "lines"),
    [
        ("Analyze: {{content}}", {"content": 1}),
        ("plain", {}),
        ("{{ a.b.c }}\n{{ d['e'] }}\n{{ a }}", {"a": 1, "d": 2}),
        ("{% for x in xs if x.y %}{{ loop.index }}{{ x }}{% endfor %}\n{{ x }}", {"xs": 1, "x": 1}),
        ("{% set y = a %}{{ y }}{{ b|default(c) }}", {"a": 1, "b": 1, "c": 1}),
        ("{% if false %}\n{{ never }}{% endif %}", {"never": 2}),
        ("{% if a is defined %}{% endif %}", {"a": 1}),
        ('{% set y = 1 %}\n{% message "user" %}{{ y }}{{ z }}{% endmessage %}', {"z": 2}),
        ('{% message "user" %}{% set y = 1 %}{% endmessage %}\n{% message "user" %}{{ y }}{% endmessage %}', {"y": 2}),
        ("{% if a %}{% set y = 1 %}{% endif %}", {"a": 1}),
        ("{% if a %}{% set y = 1 %}{% else %}{% set y = 2 %}{% endif %}{{ y }}", {"a": 1}),
        ("{% if a %}{% set y = b %}{% endif %}\n{{ y|default(c) }}", {"a": 1, "b": 1, "c": 2}),
        ("{% with a = b %}{{ a }}{% endwith %}", {"b": 1}),
        ("{{ range }}{{ dict }}", {"range": 1, "dict": 1}),
    ],
)
def test_the_variables_of_a_template_are_what_it_looks_up_in_its_inputs(template: str, lines: dict[str, int]) -> None:
    facts = check_template(template)

    assert (frozenset(lines), lines) == (facts.variables, dict(facts.variable_lines))


@pytest.mark.parametrize(
    ("template", "line", "reason"),
    [
        ("", 1, "empty"),
        (" \n\n ", 1, "empty"),
        ("a\n{{ b", 2, "unexpected end of template"),
        ("a\n{% if b %}\nc", 3, "end of template"),
        ("a\n\n{% unknown %}", 3, "unknown tag"),
        ("a\n{{ b c }}", 2, "expected token"),
        ("a\n{{ b|nope }}", 2, "there is no filter 'nope'; the filters are default,"),
        ("a\n{% if x %}{{ b|nope }}{% endif %}", 2, "there is no filter 'nope'"),
        ("a\n{{ b is nope }}", 2, "there is no test 'nope'"),
        ("a\n{{ b|upper(1) }}", 2, "does not take these arguments"),
        ("a\n{{ b is odd(1) }}", 2, "takes no arguments"),
        ("a\n{% include 'x' %}", 2, "`include`"),
        ("a\n{{ b() }}", 2, "a call"),
        ("a\n{{ self }}", 2, "reserved"),
        ("a\n{{ 1e999 }}", 2, "too large"),
        ("a\nb\x00", 2, "cannot be stored"),
        ("a\n\ud800", 2, "cannot be stored"),
        ("{% for loop in x %}{{ loop }}{% endfor %}", 1, "loop"),
        ("x" * (MAX_TEMPLATE_BYTES + 1), 1, "262,145 bytes of 262,144"),
        ("ü" * (MAX_TEMPLATE_BYTES // 2 + 1), 1, "262,146 bytes of 262,144"),
        ("{{ x|upper }}" * 6_000, 1, "too complex"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", 1, "too deep"),
        ("{{ " + "not " * 5_000 + "x }}", 1, "too deep"),
        ("{{ " + "1 + " * 5_000 + "1 }}", 1, "levels deep"),
        ("{% for a in x %}" * 25 + "{% endfor %}" * 25, 1, "too deep"),
        ("{{ " + "9" * 5_000 + " }}", 1, "too large"),
    ],
)
def test_what_is_wrong_in_a_template_is_told_with_its_line(template: str, line: int, reason: str) -> None:
    with pytest.raises(TemplateInvalid) as refusal:
        check_template(template)

    assert line == refusal.value.line
    assert reason in refusal.value.reason


def test_a_template_of_the_largest_size_is_accepted() -> None:
    assert frozenset() == check_template("x" * MAX_TEMPLATE_BYTES).variables

import pytest

from promptops.rendering.template_compiler import check_template


@pytest.mark.parametrize(
    ("template", "needed"),
    [
        ("{{ a }} {{ b.c }} {{ d[e] }}", {"a", "b", "d", "e"}),
        ("{% if a %}{{ b }}{% elif c %}{{ d }}{% endif %}", {"a"}),
        ("{{ a if b else c }}", {"b"}),
        ("{% for x in a %}{{ x }}{{ b }}{% endfor %}", {"a"}),
        ("{{ a or b }}{{ c and d }}", {"a", "c"}),
        ("{% if a is defined %}{{ a }}{% endif %}{{ b | default('x') }}", set()),
        ("{{ a.b is defined }}{{ c | upper }}", {"a", "c"}),
        ("{% set a = b %}{{ a }}", {"b"}),
        ('{% message "system" %}{{ a }}{% endmessage %}{% message "user" %}{{ b }}{% endmessage %}', {"a", "b"}),
        ("{{ a < b }}", {"a", "b"}),
    ],
)
def test_variables_that_every_rendering_looks_up_are_needed(template: str, needed: set[str]) -> None:
    assert frozenset(needed) == check_template(template).needed

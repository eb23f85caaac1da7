import pytest
from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateError

from agentflow.digest import Json
from promptops.errors import RenderFailed, TemplateInvalid
from promptops.rendering.sandbox import PromptEnvironment, RenderContext
from tests.unit.promptops.prompts import render, render_text

#: Templates that reach for Python; a text `x`, a list `xs` and a mapping `m` are at hand.
ESCAPES = [
    "{{ x.__class__.__mro__ }}",
    "{{ x['__class__'] }}",
    "{{ x['__cl' ~ 'ass__'] }}",
    "{{ m.__init__.__globals__ }}",
    "{{ m['__init__']['__globals__'] }}",
    "{{ xs.__len__ }}",
    "{{ ().__class__ }}",
    "{{ 1 .real }}",
    "{{ x|attr('__class__') }}",
    "{{ xs|map('attr', '__class__')|join }}",
    "{{ xs|map(attribute='__class__')|join }}",
    "{{ xs|sort(attribute='__class__') }}",
    "{{ xs|join('', '__class__') }}",
    "{{ x|format }}",
    "{{ '%s' % x }}",
    "{{ '%0999999999d' % 1 }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{0.__class__}'.format_map(m) }}",
    "{{ x.format }}",
    "{{ x['format'] }}",
    "{{ x.upper }}",
    "{{ x.upper() }}",
    "{{ m.items() }}",
    "{{ m.items }}",
    "{{ m.update({'a': 1}) }}",
    "{{ xs.append(1) }}",
    "{{ xs.clear() }}",
    "{{ range(10) }}",
    "{{ range }}",
    "{{ lipsum() }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler('a').__init__ }}",
    "{{ cycler }}",
    "{{ joiner() }}",
    "{{ namespace(a=1) }}",
    "{{ dict(a=1) }}",
    "{{ self }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ context }}",
    "{{ environment }}",
    "{{ resolve('x') }}",
    "{{ caller() }}",
    "{% for y in xs %}{{ loop }}{% endfor %}",
    "{% for y in xs %}{{ loop.__init__ }}{% endfor %}",
    "{% for y in xs %}{{ loop['__init__'] }}{% endfor %}",
    "{% for y in xs %}{{ loop.cycle }}{% endfor %}",
    "{% for y in xs %}{{ loop._iterator }}{% endfor %}",
    "{% for y in xs %}{{ loop._undefined }}{% endfor %}",
    "{% for y in xs %}{{ loop(xs) }}{% endfor %}",
    "{% for y in xs recursive %}{{ loop(xs) }}{% endfor %}",
    "{% for y in xs %}{% set z = loop %}{{ z.changed }}{% endfor %}",
    "{% include 'other' %}",
    "{% import 'other' as other %}",
    "{% from 'other' import a %}",
    "{% extends 'other' %}",
    "{% block a %}{% endblock %}",
    "{% macro a() %}{% endmacro %}{{ a }}",
    "{% macro a() %}{% endmacro %}{{ a.__globals__ }}",
    "{% call x() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% set y %}a{% endset %}",
    "{% set y.z = 1 %}",
    "{% autoescape true %}a{% endautoescape %}",
    "{% do xs.append(1) %}",
    "{% debug %}",
    "{% trans %}a{% endtrans %}",
    "{{ x is filter('upper') }}",
    "{{ x is callable }}",
    "{{ xs|list }}",
    "{{ x|safe }}",
    "{{ x|pprint }}",
    "{{ x|for each }}",
    "{{ xs|map('upper') }}",
    "{{ x|upper(*xs) }}",
    "{{ x|upper(**m) }}",
    "{{ none }}",
    "{{ 2 ** 99999999 }}",
    "{{ x * 9999999 }}",
    "{{ xs * 9999999 }}",
    "{{ xs + xs }}",
    "{{ [xs, xs] }}",
    "{{ {'a': xs} }}",
    "{{ {x: 1} }}",
]
INPUTS: dict[str, Json] = {"x": "a text", "xs": ["a", "b"], "m": {"a": 1}}


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_cannot_reach_past_plain_data(template: str) -> None:
    with pytest.raises((TemplateInvalid, RenderFailed)) as refusal:
        render(template, **INPUTS)

    assert "a text" not in str(refusal.value)


#: What could be dangerous if the check of the syntax tree missed it.
UNCHECKED = [
    "{{ x.__class__ }}",
    "{{ x['__class__'] }}",
    "{{ x.format(m) }}",
    "{{ m.items() }}",
    "{{ m.update(m) }}",
    "{{ xs.append(1) }}",
    "{{ lipsum() }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__ }}",
    "{{ namespace(a=1) }}",
    "{{ range(3) }}",
    "{{ self }}",
    "{{ self.__class__ }}",
    "{% for y in xs %}{{ loop.__class__ }}{% endfor %}",
    "{% for y in xs %}{{ loop.cycle('a') }}{% endfor %}",
    "{% macro a() %}{% endmacro %}{{ a() }}",
    "{% macro a() %}{% endmacro %}{{ a.__class__ }}",
    "{{ 2 ** 3 }}",
    "{{ x * 3 }}",
    "{% include 'other' %}",
    "{% import 'other' as other %}",
    "{% extends 'other' %}",
]


def run_unchecked(template: str, environment: PromptEnvironment) -> None:
    program = Template.from_code(environment, environment.compile(template), globals={})
    list(program.root_render_func(RenderContext(environment, dict(INPUTS))))


@pytest.mark.parametrize("template", UNCHECKED)
def test_the_sandbox_holds_without_the_check_of_the_syntax_tree(template: str) -> None:
    environment = PromptEnvironment()

    with pytest.raises((TemplateError, TypeError)):
        run_unchecked(template, environment)


def test_the_environment_has_no_globals_and_no_filter_or_test_that_is_not_listed() -> None:
    environment = PromptEnvironment()

    assert environment.globals == {}
    assert {"attr", "map", "format", "safe", "list", "groupby"}.isdisjoint(environment.filters)
    assert {"callable", "filter", "test", "sameas", "escaped"}.isdisjoint(environment.tests)


def test_nothing_can_be_called_whatever_it_is() -> None:
    environment = PromptEnvironment()
    context = RenderContext(environment, {})

    with pytest.raises(SecurityError):
        environment.call(context, len, [])
    with pytest.raises(SecurityError):
        context.call(len, [])


def test_a_filter_cannot_run_outside_of_a_rendering() -> None:
    environment = PromptEnvironment()
    foreign = environment.context_class(environment, {}, None, {})

    with pytest.raises(SecurityError):
        environment.filters["upper"](foreign, "x")


def test_keys_of_mappings_that_look_like_python_are_only_keys() -> None:
    inputs: dict[str, Json] = {"m": {"items": "an item", "_id": 7, "get": None, "__class__": "a key"}}

    assert render_text("{{ m.items }} {{ m._id }} {{ m['__class__'] }}", **inputs) == "an item 7 a key"


def test_inputs_named_like_jinjas_globals_are_only_inputs() -> None:
    assert render_text("{{ range }} {{ context }} {{ loop }}", range=1, context=2, loop=3) == "1 2 3"


@pytest.mark.parametrize("value", ["{{ 7 * 7 }}", "{% set x = 1 %}", "{{ x.__class__ }}", "${7*7}", "#{7*7}"])
def test_inputs_are_never_read_as_templates(value: str) -> None:
    assert value == render_text("{{ value }}", value=value)


def test_code_cannot_be_smuggled_through_literal_text() -> None:
    template = "'\"\\\n\"\"\"''' + open('/etc/passwd').read() + '{{ x }}'\\"

    assert template.replace("{{ x }}", "1") == render_text(template, x=1)

from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from agentflow.digest import Json
from promptops import input_schema
from promptops.errors import PromptInputInvalid, RenderFailed, TemplateInvalid
from promptops.models import InputProblem
from promptops.rendering.renderer import PromptRenderer
from tests.counted_work import calls_of
from tests.unit.promptops.prompts import prompt_of, render_text

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"content": {"type": "string"}, "pages": {"type": "integer"}},
    "required": ["content"],
    "additionalProperties": False,
}


def test_the_specifications_own_template_renders() -> None:
    assert render_text("Analyze: {{content}}", content="the text") == "Analyze: the text"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as <it> & 'is'", "as <it> & 'is'"),
        ("", ""),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (False, "false"),
        ([], "[]"),
        ([1, "zwölf", None, True], '[1, "zwölf", null, true]'),
        ({"b": "it's", "a": {}}, '{"b": "it\'s", "a": {}}'),
    ],
)
def test_text_renders_as_it_is_and_everything_else_as_json(value: Json, text: str) -> None:
    assert text == render_text("{{ value }}", value=value)


def test_a_null_must_be_handled() -> None:
    with pytest.raises(RenderFailed, match=r"line 2: 'user\.name' is null"):
        render_text("Dear\n{{ user.name }}", user={"name": None})

    assert render_text("{{ name|default('friend') }}", name=None) == "friend"
    assert render_text("{% if name %}{{ name }}{% else %}nobody{% endif %}", name=None) == "nobody"


def test_a_missing_input_is_an_error_that_names_it() -> None:
    with pytest.raises(RenderFailed, match="line 3: 'name' is undefined") as refusal:
        render_text("Dear\n\n{{ name }}", nome="Ann")

    assert (refusal.value.prompt, refusal.value.line) == ("greeting@3", 3)


@pytest.mark.parametrize(
    "template",
    [
        "{% if name %}x{% endif %}",
        "{% for x in name %}x{% endfor %}",
        "{{ name ~ 'x' }}",
        "{{ name + 1 }}",
        "{{ name == 1 }}",
        "{{ name.first }}",
        "{{ name[0] }}",
        "{{ xs[name] }}",
        "{{ xs[name:] }}",
        "{{ name|upper }}",
        "{{ xs|join(name) }}",
        "{{ 1 if name else 2 }}",
        "{{ not name }}",
        "{{ xs is defined and name }}",
    ],
)
def test_a_missing_input_is_an_error_wherever_it_is_used(template: str) -> None:
    with pytest.raises(RenderFailed):
        render_text(template, xs=["a"])


def test_a_template_can_ask_whether_an_input_is_there() -> None:
    template = "{% if name is defined %}{{ name }}{% else %}{{ name|default('friend') }}{% endif %}"

    assert [render_text(template, name="Ann"), render_text(template)] == ["Ann", "friend"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ page.title }}/{{ page['title'] }}/{{ page[key] }}", "A/A/A"),
        ("{{ xs[0] }}{{ xs[-1] }}{{ xs[1:] }}", '1{"n": 3}[2, {"n": 3}]'),
        ("{{ xs[2].n * 2 + 1 - 0.5 }}", "6.5"),
        ("{{ page.title if false }}|", "|"),
        ("{{ 7 // 2 }} {{ 7 % 2 }} {{ 7 / 2 }} {{ -7 }}", "3 1 3.5 -7"),
        ("{{ 'a' + 'b' ~ 3 ~ true }}", "ab3true"),
        ("{% for x in xs %}{{ loop.index }}{% if not loop.last %},{% endif %}{% endfor %}", "1,2,3"),
        ("{% for k in page %}{{ k }}={{ page[k] }}{% endfor %}", "title=A"),
        ("{% for a, b in pairs %}{{ b }}{{ a }}{% endfor %}", "1x2y"),
        ("{% with y = 2 %}{{ y }}{% endwith %}", "2"),
        ("{{ 'yes' if 2 in xs else 'no' }}", "yes"),
        ("{{ 1 < 2 < 3 and not 1 == 2 }}", "true"),
        ("{{ key in ['title', 'name'] }}", "true"),
        ("{% raw %}{{ x }}{% endraw %}{# gone #}", "{{ x }}"),
        ("a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"),
        ("a\r\nb", "a\nb"),
        ("{{ 'text'[1:3] }}{{ 'text'[0] }}", "ext"),
    ],
)
def test_the_language_of_prompts(template: str, text: str) -> None:
    inputs: dict[str, Json] = {
        "page": {"title": "A"},
        "key": "title",
        "xs": [1, 2, {"n": 3}],
        "pairs": [["x", 1], ["y", 2]],
    }

    assert text == render_text(template, **inputs)


@pytest.mark.parametrize(
    "template",
    ["\n{{ 1 / zero }}", "\n{{ secret < 1 }}", "\n{{ secret + 1 }}", "\n{{ m[secret] }}", "\n{{ -secret }}"],
)
def test_a_failing_operation_is_told_with_its_line_and_without_the_value(template: str) -> None:
    with pytest.raises(RenderFailed) as refusal:
        render_text(template, zero=0, secret="hunter2", m={})

    assert refusal.value.line == 2
    assert "hunter2" not in str(refusal.value)


def test_inputs_are_checked_before_rendering_and_all_problems_are_told() -> None:
    with pytest.raises(PromptInputInvalid) as refusal:
        PromptRenderer().render(prompt_of("{{ content }}", SCHEMA), {"pages": "hunter2", "kontent": "hunter2"})

    assert refusal.value.problems == (
        InputProblem(path="$.content", reason="is required"),
        InputProblem(path="$.kontent", reason="is not a property that the schema lists"),
        InputProblem(path="$.pages", reason="must be of type integer"),
    )
    assert "hunter2" not in str(refusal.value)


class _Colour(IntEnum):
    RED = 1


def test_subclasses_of_plain_types_are_reduced_to_plain_data() -> None:
    inputs: dict[str, Any] = {"markup": Markup("<b>%s</b>"), "colour": _Colour.RED, "pair": (1, 2)}

    assert render_text("{{ markup ~ 'x' }} {{ colour }} {{ pair }}", **inputs) == "<b>%s</b>x 1 [1, 2]"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "$.value"),
        ({"a": [b"bytes"]}, "$.value.a[0]"),
        ({1: "x"}, "$.value"),
        (float("nan"), "$.value"),
        (float("inf"), "$.value"),
        (10**400, "$.value"),
        ("\ud800", "$.value"),
        ({"a", "b"}, "$.value"),
        (len, "$.value"),
    ],
)
def test_inputs_that_are_not_plain_data_are_refused_with_their_path(value: Any, path: str) -> None:
    with pytest.raises(PromptInputInvalid) as refusal:
        render_text("{{ value }}", value=value)

    (problem,) = refusal.value.problems
    assert path == problem.path


def test_rendering_leaves_the_inputs_as_they_were() -> None:
    inputs: dict[str, Json] = {"xs": [3, 1, 2], "m": {"a": [1]}}

    PromptRenderer().render(prompt_of("{{ xs|sort }}{% set xs = 1 %}{{ xs }}{{ m }}"), inputs)

    assert inputs == {"xs": [3, 1, 2], "m": {"a": [1]}}


def test_renderings_do_not_see_each_other() -> None:
    renderer = PromptRenderer()
    prompt = prompt_of("{% if first %}{% set kept = 'kept' %}{% endif %}{{ kept|default('clean') }}")

    texts = [renderer.render(prompt, {"first": first})[0].text for first in (True, False)]

    assert texts == ["kept", "clean"]


def test_prompts_beyond_the_cache_are_compiled_again() -> None:
    renderer = PromptRenderer(cache_size=1)

    texts = [
        renderer.render(prompt_of(template), {"x": 1})[0].text for template in ("a{{ x }}", "b{{ x }}", "a{{ x }}")
    ]

    assert texts == ["a1", "b1", "a1"]
    assert len(renderer._ready) == 1


def test_a_version_that_was_stored_unchecked_is_still_checked() -> None:
    with pytest.raises(TemplateInvalid):
        render_text("{{ x.__class__ }}", x="a")


@given(
    inputs=st.dictionaries(
        st.sampled_from(["a", "b"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
        ),
    )
)
def test_any_json_renders_or_is_refused_by_an_error_of_ours(inputs: Mapping[str, Json]) -> None:
    try:
        (message,) = PromptRenderer().render(prompt_of("{{ a }}{% for x in b %}{{ x|upper }}{% endfor %}"), inputs)
    except (RenderFailed, PromptInputInvalid):
        return
    assert {"input"} >= {segment.provenance for segment in message.segments}


@pytest.mark.parametrize("content", ["the text", "the text" * 1_000], ids=["short", "long"])
def test_a_small_prompt_is_rendered_in_few_steps_once_it_is_compiled(content: str) -> None:
    renderer, prompt = PromptRenderer(), prompt_of("Analyze: {{content}}", SCHEMA)
    renderer.render(prompt, {"content": "another text"})

    # About 130; to compile it takes some 7,000.
    assert calls_of(lambda: renderer.render(prompt, {"content": content})) < 260


@pytest.mark.parametrize(
    ("template", "inputs", "is_quick"),
    [
        ("Read {{ content }} of {{ m.author }}", {"content": "x", "m": 1}, True),
        ("{% message 'system' %}Be {{ a }}.{% endmessage %}{% message 'user' %}?{% endmessage %}", {"a": 1}, True),
        ("{% if pages is defined and not content %}{{ pages }}{% endif %}{{ content }}", {"content": "x"}, True),
        ("{{ content }}", {"content": "x" * 65_524, "pages": None}, True),
        ("{{ content }}", {"content": "x" * 65_530}, False),
        ("{{ content }}", {"content": ["x"]}, False),
        ("{{ content|upper }}", {"content": "x"}, False),
        ("{{ content ~ content }}", {"content": "x"}, False),
        ("{{ 2 * content }}", {"content": 1}, False),
        ("{% for x in content %}{{ x }}{% endfor %}!", {"content": "x"}, False),
        ("{% set y = content %}{{ y }}", {"content": "x"}, False),
        ("{{ content }}" * 70, {"content": "x"}, True),
        ("{{ content }}" * 300, {"content": "x"}, False),
        ("!", {f"k{place}": None for place in range(65)}, False),
        ("!", {"k" * 65_537: None}, False),
    ],
)
def test_only_what_surely_is_quick_is_called_so(template: str, inputs: dict[str, Json], is_quick: bool) -> None:
    renderer, prompt = PromptRenderer(), prompt_of(template)
    assert not renderer.is_quick(prompt, inputs)

    # That it is compiled is what counts, whatever comes of it.
    with suppress(RenderFailed):
        renderer.render(prompt, inputs)

    assert is_quick is renderer.is_quick(prompt, inputs)


@pytest.mark.parametrize(
    ("rule", "is_quick"),
    [
        ({"type": "object", "properties": {"content": {"type": "string", "maxLength": 9}}, "required": []}, True),
        ({"properties": {"content": {"pattern": "(a+)+$"}}}, False),
        ({"properties": {f"p{place}": {} for place in range(64)}}, True),
        ({"properties": {f"p{place}": {} for place in range(65)}}, False),
        ({"properties": {"content": {"anyOf": [{"type": "string"}]}}}, False),
        ({"additionalProperties": {"type": "string"}}, False),
        ({"patternProperties": {"(a+)+$": True}}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": {}}}, False),
    ],
)
def test_a_schema_that_searches_or_combines_is_not_quick(rule: dict[str, Json], is_quick: bool) -> None:
    renderer, prompt = PromptRenderer(), prompt_of("{{ content }}", rule)
    renderer.render(prompt, {"content": "aaaa"})

    assert is_quick is renderer.is_quick(prompt, {"content": "aaaa"})


def test_many_missing_inputs_are_told_in_as_many_steps_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # So long that all of them are told alike.
    names = [f"{'y' * 101}{place:04}" for place in range(500)]
    told: list[Sequence[str | int]] = []
    json_path = input_schema.json_path

    def counted(parts: Sequence[str | int]) -> str:
        told.append(parts)
        return json_path(parts)

    monkeypatch.setattr(input_schema, "json_path", counted)
    renderer, prompt = PromptRenderer(), prompt_of("{{ a }}", {"required": list(names)})

    with pytest.raises(PromptInputInvalid):
        renderer.render(prompt, {"a": "x"})

    assert len(names) == len(told)
    assert not renderer.is_quick(prompt, {"a": "x"})

import pytest

from agentflow.digest import Json
from promptops.errors import RenderLimitExceeded
from promptops.rendering import render_limits
from promptops.rendering.render_limits import MAX_CPU_SECONDS, MAX_OUTPUT_BYTES
from promptops.rendering.renderer import PromptRenderer
from tests.unit.promptops.prompts import prompt_of, render, render_text

MEBIBYTE = "x" * 1024 * 1024


def nested_lists(depth: int) -> Json:
    value: Json = []
    for _ in range(depth):
        value = [value]
    return value


INPUTS: dict[str, Json] = {
    "big": MEBIBYTE,
    "other": "x" * 1024 * 1023 + "y",
    "thousand": [1] * 1_000,
    "lines": "a\n" * 100_000,
    "numbers": list(range(20_000)),
    "others": list(range(20_000)),
    "names": ["x" * 90] * 1_000,
    "m": {"a": {"b": {"c": 1}}},
    "deep": [nested_lists(60)] * 500,
}


@pytest.mark.parametrize(
    ("template", "limit"),
    [
        ("{{ big }}{{ big }}", "bytes of output"),
        ("{% for x in thousand %}" + "y" * 2_000 + "{% endfor %}", "bytes of output"),
        ("{% for a in thousand %}{% for b in thousand %}{% endfor %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% for b in thousand %}{% set c = a %}{% endfor %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% for b in thousand if false %}{% endfor %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% for b in thousand %}{{ loop.length }}{% endfor %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big|upper %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big ~ a %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big + 'a' %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big[1:] %}{% endfor %}z", "steps"),
        ("{% set a = big %}" + "{% set a = a ~ a %}" * 30 + "z", "characters in one text"),
        ("{% set a = big %}" + "{% set a = a + a %}" * 30 + "z", "characters in one text"),
        ("{% set a = big|replace('x', 'yyyyyyyyyy') %}z", "characters in one text"),
        ("{% set a = thousand|join(big) %}z", "characters in one text"),
        ("{% set a = lines|indent(64) %}z", "characters in one text"),
        ("{% set a = 9 %}" + "{% set a = a * a %}" * 30 + "z", "bits in a number"),
        ("{% for a in thousand %}{% for b in thousand %}{{ '' }}{% endfor %}{% endfor %}", "steps"),
        ("{% for a in thousand %}{% if other in big %}{% endif %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% if big == other %}{% endif %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% if numbers == others %}{% endif %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% if big in names %}{% endif %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big|trim(other) %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big|replace(other, '') %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = numbers|sort %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = numbers[::-1] %}{% set b = numbers[1:] %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = numbers|string %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = '' ~ numbers %}{% endfor %}z", "steps"),
        ("{% for a in thousand %}{% set b = big|int %}{% endfor %}z", "steps"),
        ("{% for a in numbers %}" + "{% set b = m.a.b.c %}" * 80 + "{% endfor %}z", "steps"),
        ("{% for a in numbers %}" + "{% if a is even and not a is odd %}{% endif %}" * 80 + "{% endfor %}z", "steps"),
        ("{% set a = numbers|tojson(indent=4)|string ~ deep|tojson(indent=4) %}z", "characters in one text"),
    ],
)
def test_a_template_is_stopped_before_it_costs_too_much(
    template: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine processor time would run out first.
    monkeypatch.setattr(render_limits, "MAX_CPU_SECONDS", 10 * MAX_CPU_SECONDS)

    with pytest.raises(RenderLimitExceeded) as refusal:
        render(template, **INPUTS)

    assert limit == refusal.value.limit


def test_a_slow_machine_stops_by_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_limits, "MAX_CPU_SECONDS", 0.0)

    with pytest.raises(RenderLimitExceeded) as refusal:
        render("{% for a in many %}{{ a }}{% endfor %}", many=[1] * 90_000)

    assert refusal.value.limit == "seconds of processor time"


def test_messages_without_number_are_stopped() -> None:
    with pytest.raises(RenderLimitExceeded) as refusal:
        render('{% for x in xs %}{% message "user" %}{% endmessage %}{% endfor %}', xs=[1] * 1_001)

    assert refusal.value.limit == "messages"


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ([1] * 100_001, "values in the inputs"),
        ("x" * (4 * 1024 * 1024 + 1), "characters in the inputs"),
        (nested_lists(100), "levels of nesting in the inputs"),
        (nested_lists(50_000), "levels of nesting in the inputs"),
    ],
)
def test_inputs_without_measure_are_refused(value: Json, limit: str) -> None:
    with pytest.raises(RenderLimitExceeded) as refusal:
        render("x", value=value)

    assert limit == refusal.value.limit


def test_shared_inputs_are_counted_as_often_as_they_stand() -> None:
    value: Json = [1]
    for _ in range(40):
        value = [value, value]

    with pytest.raises(RenderLimitExceeded, match="values in the inputs"):
        render("x", value=value)


def test_output_is_counted_in_bytes_and_may_reach_the_limit() -> None:
    text = "ü" * (MAX_OUTPUT_BYTES // 2)

    assert text == render_text("{{ text }}", text=text)
    with pytest.raises(RenderLimitExceeded):
        render_text("{{ text }}!", text=text)


def test_a_stopped_rendering_does_not_hurt_the_next_one() -> None:
    renderer, prompt = PromptRenderer(), prompt_of("{% for a in xs %}{% for b in xs %}{% endfor %}{% endfor %}done")

    with pytest.raises(RenderLimitExceeded):
        renderer.render(prompt, {"xs": [1] * 1_000})

    assert renderer.render(prompt, {"xs": [1]})[0].text == "done"

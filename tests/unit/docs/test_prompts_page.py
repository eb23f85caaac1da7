"""docs/prompts.md: every filter and test is there, and what it shows renders."""

import re
from datetime import UTC, datetime

import pytest

from promptops.models import PromptVersion
from promptops.prompt_file import parse_prompt_file
from promptops.rendering import render_limits
from promptops.rendering.filters import FILTERS
from promptops.rendering.renderer import PromptRenderer
from promptops.rendering.template_rules import TESTS
from promptops.service import check_content
from tests.unit.docs.pages import ROOT, Block, blocks, table_rows

PAGE = ROOT / "docs" / "prompts.md"
TEXT = PAGE.read_text(encoding="utf-8")


def rendered(template: str, **inputs: object) -> list[tuple[str, str]]:
    created_at = datetime(2026, 1, 1, tzinfo=UTC)
    names = {"org_id": "org", "name": "page", "digest": template}
    version = PromptVersion(**names, version=1, template=template, input_schema=None, created_at=created_at)
    return [(message.role, message.text) for message in PromptRenderer().render(version, inputs)]  # type: ignore[arg-type]


def block_with(text: str) -> Block:
    return next(block for block in blocks(PAGE) if text in block.text)


def section(heading: str) -> str:
    return re.split(r"\n#+ ", TEXT.split(f"# {heading}\n", 1)[1], maxsplit=1)[0]


def test_the_page_has_exactly_the_filters_that_there_are() -> None:
    cells = [row[0] for row in table_rows(section("Filters")) if row[0] != "filter"]

    assert sorted(FILTERS) == sorted(found for cell in cells for found in re.findall(r"x \\\| (\w+)", cell))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ x | default('n') }}, {{ '' | default('n') }}, {{ '' | default('n', true) }}", "n, , n"),
        ("{{ [3, 4] | first }} {{ 'abc' | last }}", "3 c"),
        ("{{ '7.9' | int }} {{ '7.9' | float }} {{ 'x' | int }} {{ 'x' | int(5) }}", "7 7.9 0 5"),
        ("{{ 'a\\nb' | indent(2) }}|{{ 'a\\nb' | indent(2, true) }}", "a\n  b|  a\n  b"),
        ("{{ ['a', 1] | join(', ') }} {{ 'abc' | length }}", "a, 1 3"),
        ("{{ 'aB' | lower }} {{ 'aB' | upper }} {{ 'a b' | title }}", "ab AB A B"),
        ("{{ 'aba' | replace('a', 'c') }} {{ 'aba' | replace('a', 'c', 1) }}", "cbc cba"),
        ("{{ 2.55 | round(1, 'floor') }} {{ 2.4 | round }} {{ 2.41 | round(1, 'ceil') }}", "2.5 2.0 2.5"),
        ("{{ ['b', 'a', 'C'] | sort }} {{ [1, 2] | sort(true) }}", '["a", "b", "C"] [2, 1]'),
        ("{{ ['b', 'a', 'C'] | sort(case_sensitive=true) }}", '["C", "a", "b"]'),
        ("{{ true | string }} {{ 'a' | tojson }} {{ [1] | tojson(2) }}", 'true "a" [\n  1\n]'),
        ("{{ ' a ' | trim }} {{ '.a.' | trim('.') }}", "a a"),
        ("{{ 'one two three' | truncate(10) }}|{{ 'one two' | truncate(5, true, '') }}", "one...|one t"),
    ],
)
def test_filters_give_what_the_page_says(template: str, expected: str) -> None:
    assert [("user", expected)] == rendered(template)


def test_the_page_has_exactly_the_tests_that_there_are() -> None:
    assert TESTS == set(re.findall(r"`(?:x is )?(\w+)`", section("Tests"))) - {"not"}


def test_the_prompt_file_that_is_shown_becomes_a_version_and_renders() -> None:
    draft = parse_prompt_file(block_with("name: letter_reader").text)
    check_content(draft.template, draft.input_schema)

    system, user = rendered(draft.template, letter=" Dear Ada. ", question="Who?")
    assert ("system", "You answer questions about letters.") == system
    assert ("user", "Letter:\nDear Ada.\n\nWho?") == user


def test_the_messages_that_are_shown_render() -> None:
    turns = [{"question": "Q", "answer": "A"}]

    messages = rendered(block_with("{% for turn in turns %}").text, turns=turns, question="R")
    assert [("system", "You are brief."), ("user", "Q"), ("assistant", "A"), ("user", "R")] == messages


def test_braces_that_are_meant_come_out_as_the_page_says() -> None:
    ((_, text),) = rendered(block_with("{% raw %}").text)

    assert ["Write {{name}} where the name goes.", "Write {{ name }} where the name goes."] == text.splitlines()


@pytest.mark.parametrize(
    "limit",
    [
        render_limits.MAX_INPUT_CHARACTERS,
        render_limits.MAX_INPUT_VALUES,
        render_limits.MAX_MESSAGES,
        render_limits.MAX_STEPS,
        render_limits.MAX_TEMPLATE_NODES,
        render_limits.MAX_TEXT_CHARACTERS,
    ],
)
def test_the_page_has_the_limits_of_a_rendering(limit: int) -> None:
    assert f"{limit:,}" in section("Limits")

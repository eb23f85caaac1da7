import json
import shlex
from typing import Any

import pytest

from cli.run_inputs import inputs_text, skeleton, submit_command
from tests.unit.docs.command_line import problem_with

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "count": {"type": ["integer", "null"]},
        "tone": {"enum": ["warm", "dry"]},
        "lang": {"type": "string", "default": "en"},
        "options": {"type": "object", "properties": {"deep": {"type": "boolean"}, "x": {}}, "required": ["deep"]},
        "list": {"type": "array"},
        "note": {},
    },
    "required": ["question", "count", "tone", "lang", "options", "list", "other"],
}


def test_the_skeleton_has_what_must_be_given() -> None:
    expected = {"question": "…", "count": 0, "tone": "warm", "options": {"deep": False}, "list": [], "other": "…"}

    assert expected == skeleton(SCHEMA)


def test_the_command_can_be_pasted_into_a_shell() -> None:
    schema = {"required": ["it's"]}

    words = shlex.split(submit_command(["--file", "my letters.yaml"], schema))

    assert ["agentctl", "workflow", "submit", "--file", "my letters.yaml", "--inputs"] == words[:6]
    assert {"it's": "…"} == json.loads(words[6])
    assert problem_with(words[1:], is_whole=True) is None


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}, {"properties": {"a": {}}}, {"properties": 5}])
def test_what_needs_no_inputs_is_submitted_without(schema: dict[str, Any] | None) -> None:
    command = submit_command(["letters", "--version", "2"], schema)

    assert "agentctl workflow submit letters --version 2 --wait" == command
    assert problem_with(shlex.split(command)[1:], is_whole=True) is None


def test_inputs_are_shown_with_what_stands_for_those_that_are_left_out() -> None:
    lines = (inputs_text(SCHEMA) or "").splitlines()

    assert ["INPUT", "TYPE", "LEFT", "OUT"] == lines[0].split()
    assert ["question", "string", "refused"] == lines[1].split()
    assert ["lang", "string", '"en"'] == lines[4].split()
    assert ["note", "any", "missing"] == lines[7].split()
    assert ["other", "any", "refused"] == lines[8].split()


def test_inputs_that_only_expressions_name_are_told_with_how_a_text_is_written() -> None:
    text = inputs_text({"type": "object", "required": ["english", "key"]})

    assert text is not None
    assert "Needs the inputs english, key" in text
    assert "\"'english'\"" in text
    assert inputs_text({"type": "object"}) is None
    assert inputs_text(None) is None

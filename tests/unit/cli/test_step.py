import json
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from cli.step_text import SHOWN_CHARACTERS
from tests.unit.cli.answering_server import AnsweringServer

STEP = "/api/v1/workflows/runs/run_1/nodes/say/step"
STEPS = "/api/v1/workflows/runs/run_1/nodes/say/steps"
SUMMARY = {
    "item_index": None,
    "part": None,
    "kind": "llm",
    "state": "failed",
    "attempt": 2,
    "started_at": "2026-01-02T03:04:05+00:00",
    "finished_at": "2026-01-02T03:04:07+00:00",
    "model": "scripted-1",
    "input_tokens": 1_200,
    "output_tokens": 5,
    "cost_micro_usd": 1_210,
    "error": {"code": "answer.cut", "message": "it ends in the middle", "node_id": None},
}
FACTS = {
    **SUMMARY,
    "provider": "openai",
    "cache_hit": False,
    "pii": {"EMAIL": 2},
    "injection_score": None,
    "possible_duplicates": 0,
    "effect_class": None,
    "decision": {
        "tier": "Silver",
        "reason": "the cheapest of its tier",
        "candidates": [{"model": "openai/scripted-1", "expected_micro_usd": 1_500}],
        "excluded": {"anthropic/scripted-2": "it is of another tier"},
        "chosen": "openai/scripted-1",
    },
    "output_digest": None,
}
MESSAGES = [{"role": "system", "text": "Be brief."}, {"role": "user", "text": "Tell me of \x1b[2J storms"}]
ANSWER = {
    "model": "scripted-1",
    "text": "x" * (SHOWN_CHARACTERS + 1_234),
    "finish_reason": "length",
    "tool_calls": [{"call_id": "1", "name": "weather", "arguments": '{"city": "Bern"}'}],
    "usage": {"input_tokens": 1_200, "output_tokens": 5},
    "usage_is_estimated": False,
}


def attempt(number: int, **more: Any) -> dict[str, Any]:
    return {
        "attempt": number,
        "status": "error",
        "began_at": "2026-01-02T03:04:05+00:00",
        "ended_at": "2026-01-02T03:04:06.500000+00:00",
        "error": {"code": "provider.unavailable", "message": "the vendor is away"},
        **more,
    }


def document(**changes: Any) -> dict[str, Any]:
    return {
        "run_id": "run_1",
        "node_id": "say",
        "item_index": None,
        "part": None,
        "step": FACTS,
        "attempts": [attempt(2, messages=MESSAGES, answers=[ANSWER]), attempt(1, messages=MESSAGES)],
        "output": None,
        "parts": [],
        "next_cursor": None,
        **changes,
    }


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert ExitCode.OK == main(["workflow", *arguments])
    return capsys.readouterr().out


def test_a_step_is_shown_with_its_attempts_as_blocks_and_its_routing(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer(STEP, document())

    text = shown(capsys, "step", "run_1", "say")

    assert "answer.cut: it ends in the middle" in text
    assert "Silver: the cheapest of its tier" in text
    assert "anthropic/scripted-2: it is of another tier" in text
    assert text.index("Attempt 1: error") < text.index("Attempt 2: error")
    assert "provider.unavailable: the vendor is away" in text
    assert "  system\n    Be brief.\n  user\n    Tell me of ?[2J storms" in text
    assert 1 == text.count("Be brief.")
    assert "the same messages as in the attempt before" in text
    assert "answer of scripted-1, finish reason length, 1,200 in, 5 out" in text
    assert "more characters: -o json shows all]" in text
    assert "x" * (SHOWN_CHARACTERS + 1) not in text
    assert "\x1b" not in text


def test_json_has_all_of_it(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(STEP, document())

    assert document() == json.loads(shown(capsys, "step", "run_1", "say", "-o", "json"))


def test_an_item_and_a_part_are_asked_for(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    tool = {**FACTS, "kind": "tool", "state": "committed", "error": None, "decision": {}, "model": None}
    call = {**attempt(1), "status": "ok", "error": None, "arguments": {"city": "Bern"}}
    server.answer(STEP, document(item_index=3, part="call:0.1", step=tool, attempts=[call], output={"degrees": 4}))

    text = shown(capsys, "step", "run_1", "say", "--item", "3", "--part", "call:0.1")

    assert "item=3&part=call%3A0.1&attempts=20" == server.asked[-1].query
    assert "node say, item 3, call:0.1 (tool)" in text
    assert '  arguments\n    {\n      "city": "Bern"' in text
    assert '  Output\n    {\n      "degrees": 4' in text


def test_a_node_that_is_made_of_steps_lists_them_with_the_command_that_shows_one(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [
        {**SUMMARY, "part": "iteration:1"},
        {**SUMMARY, "part": "iteration:2", "error": None, "state": "committed"},
    ]
    server.answer(STEP, document(step=None, attempts=[], parts=parts))

    text = shown(capsys, "step", "run_1", "say")

    assert "iteration:2" in text
    assert "Look at one: agentctl workflow step run_1 say --part iteration:1" in text


def test_failed_items_are_listed_a_line_each(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    long = {"code": "expression.failed", "message": "it\ndivides " + "z" * 500, "node_id": None}
    items = [{**SUMMARY, "item_index": 7}, {**SUMMARY, "item_index": 9, "error": long}]
    server.answer(STEPS, {"items": items, "next_cursor": "more"})

    assert ExitCode.OK == main(["workflow", "steps", "run_1", "say", "--failed", "--limit", "2"])

    told = capsys.readouterr()
    assert "state=failed&limit=2" == server.asked[-1].query
    assert 3 == len(told.out.splitlines())
    assert "item 7" in told.out
    assert "expression.failed: it divides zzz" in told.out
    assert "--cursor more" in told.err
    assert "agentctl workflow step run_1 say --item 7" in told.err


def test_failed_and_another_state_are_refused(server: AnsweringServer) -> None:
    assert ExitCode.USAGE == main(["workflow", "steps", "run_1", "say", "--failed", "--state", "committed"])

    assert [] == server.asked

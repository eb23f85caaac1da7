import json
from typing import Any

import pytest

from activities.agent_conversation import (
    MAX_CALLS_OF_A_TURN,
    MAX_RESULT_CHARACTERS,
    Conversation,
    PastTurn,
    parsed_arguments,
    turn_facts,
    turn_output,
)
from cas.provider_models import ModelResponse, TokenUsage, ToolCall
from runs.agent_plan import AgentPlan, AgentTool

AGENT = AgentPlan(
    tools=(AgentTool(name="s3.fetch", call_name="s3_fetch", description="", parameters={"type": "object"}),)
)


def asking(*calls: tuple[str, str]) -> ModelResponse:
    return ModelResponse(
        text="hm",
        tool_calls=tuple(
            ToolCall(call_id=f"vendor{place}", name=name, arguments=arguments)
            for place, (name, arguments) in enumerate(calls)
        ),
        finish_reason="tool_calls",
        usage=TokenUsage(input_tokens=1, output_tokens=1),
        model="m",
        response_id="r",
        time_to_first_token_seconds=None,
        usage_is_estimated=False,
    )


def output_of(*calls: tuple[str, str], before: Conversation | None = None, is_last: bool = False) -> dict[str, Any]:
    return turn_output(
        asking(*calls),
        agent=AGENT,
        turn="turn_3",
        before=before or Conversation(),
        spent=(10, 20),
        is_last=is_last,
    )


def test_calls_get_ids_that_are_the_same_whatever_the_vendor_says() -> None:
    output = output_of(("s3_fetch", "{}"), ("s3_fetch", '{"key": "k"}'))

    assert ["turn_3_0", "turn_3_1"] == [call["call_id"] for call in output["calls"]]
    assert {"tools": ["s3.fetch", "s3.fetch"], "tokens": 10, "micro_usd": 20} == turn_facts(output)


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("s3_fetch", '{"a": ', "agent.unreadable_arguments"),
        ("s3_fetch", "[]", "agent.unreadable_arguments"),
        ("s3_fetch", '{"a": NaN}', "agent.unreadable_arguments"),
        ("s3_fetch", "[" * 100_000, "agent.unreadable_arguments"),
        ("s3.fetch", "{}", "agent.unknown_tool"),
        ("", "{}", "agent.unknown_tool"),
    ],
)
def test_a_call_that_cannot_be_made_stays_in_the_conversation_and_is_not_asked_for(
    name: str, arguments: str, problem: str
) -> None:
    output = output_of((name, arguments))

    (call,) = output["calls"]
    assert problem == call["problem"]
    assert arguments == call["arguments"]
    assert [None] == turn_facts(output)["tools"]


def test_a_name_that_vendors_would_refuse_is_made_one_that_they_take() -> None:
    names = [call["name"] for call in output_of(("rm -rf /", "{}"), ("", "{}"), ("x" * 99, "{}"))["calls"]]

    assert ["rm_-rf__", "unnamed", "x" * 64] == names


def test_a_turn_asks_for_so_many_calls_and_no_more() -> None:
    calls = output_of(*((("s3_fetch", "{}"),) * (MAX_CALLS_OF_A_TURN + 1)))["calls"]

    assert [None] * MAX_CALLS_OF_A_TURN + ["agent.too_many_calls"] == [call["problem"] for call in calls]


def test_what_has_been_spent_adds_up() -> None:
    before = Conversation(references=({"turn": "d", "results": []},), tokens=5, micro_usd=7)

    output = output_of(before=before)

    assert {"tokens": 15, "micro_usd": 27} == output["spent"]
    assert [{"turn": "d", "results": []}] == output["conversation"]


def test_the_last_turn_asks_for_nothing() -> None:
    assert [] == output_of(("s3_fetch", "{}"), is_last=True)["calls"]


def test_results_are_texts_as_they_are_and_json_of_all_else() -> None:
    calls = tuple(ToolCall(call_id=str(number), name="f", arguments="{}") for number in range(3))
    long = "é" * (MAX_RESULT_CHARACTERS + 1)
    turn = PastTurn(text="", calls=calls, results=("plain", {"n": 1}, long))

    _, plain, json_text, cut = turn.messages(turn.results)

    assert ("plain", '{"n":1}') == (plain.text, json_text.text)
    assert cut.text.startswith("é" * MAX_RESULT_CHARACTERS + "\n[cut off")
    assert "2" == cut.tool_call_id


def test_arguments_are_an_object_or_nothing() -> None:
    assert {"a": [1]} == parsed_arguments(json.dumps({"a": [1]}))
    assert parsed_arguments("null") is None

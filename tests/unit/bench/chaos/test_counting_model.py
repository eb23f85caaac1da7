from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bench.chaos.counting_model import CountingModel, without_tries

ASKED = {"role": "user", "content": "ask:b/settle; what is owed"}


@pytest.fixture
def model() -> Iterator[CountingModel]:
    with CountingModel("127.0.0.1:1") as model:
        yield model


def answer(model: CountingModel, *messages: dict[str, Any], with_tools: bool = True) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": "http_request", "parameters": {"type": "object"}}}]
    body = {"model": "scripted-1", "messages": [ASKED, *messages], **({"tools": tools} if with_tools else {})}
    answered = httpx.post(f"{model.url}/chat/completions", json=body, headers={"Authorization": "Bearer x"})
    message: dict[str, Any] = answered.raise_for_status().json()["choices"][0]["message"]
    return message


def shown(receipt: str) -> list[dict[str, Any]]:
    """A turn that asked for a tool, and what that gave."""
    return [
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "call_0_0", "content": f'{{"json":{{"receipt":"{receipt}"}}}}'},
    ]


def test_without_tools_it_answers_and_is_counted(model: CountingModel) -> None:
    assert str(answer(model, with_tools=False)["content"]).startswith("settle:")
    assert [("settle", None, True)] == [(call.step, call.part, call.is_answered) for call in model.calls()]


def test_with_tools_it_asks_for_each_deed_under_the_name_of_its_step(model: CountingModel) -> None:
    asked = answer(model)["tool_calls"]
    again = answer(model, *shown("settle call:0.0"))["tool_calls"]

    names = [call["function"]["arguments"].partition("?")[2].partition('"')[0] for call in [*asked, *again]]
    assert ["call:0.0", "call:0.1", "call:1.0"] == names
    assert ["turn:0", "turn:1"] == [call.part for call in model.calls()]


def test_its_last_answer_follows_from_all_that_it_was_shown(model: CountingModel) -> None:
    one, same, other = (
        without_tries(answer(model, *shown("settle call:0.0"), *shown(last))["content"])
        for last in ("settle call:1.0", "settle call:1.0", "settle call:9.9")
    )

    assert one == same != other

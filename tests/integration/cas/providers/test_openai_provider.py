"""What only the chat-completions protocol has."""

from dataclasses import replace

import pytest

from agentflow.digest import Json
from cas.errors import (
    ContentRefused,
    ContextTooLong,
    MalformedProviderResponse,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
)
from cas.provider_models import ChatMessage, ModelRequest, TokenUsage, ToolCall
from cas.providers.local_provider import LocalProvider
from cas.providers.openai_provider import OpenAIProvider
from tests.integration.cas.providers.requests import SCHEMA, WEATHER, asking
from tests.scripted_provider import Answer, Fail, Malformed, ScriptedProvider


async def test_the_whole_request_is_sent(openai_provider: OpenAIProvider, vendor: ScriptedProvider) -> None:
    call = ToolCall(call_id="call_1", name="weather", arguments='{"city":"Bonn"}')
    request = ModelRequest(
        model="test-model",
        messages=(
            ChatMessage(role="system", text="Be brief."),
            ChatMessage(role="user", text="Weather?"),
            ChatMessage(role="assistant", text="", tool_calls=(call,)),
            ChatMessage(role="tool", text="rain", tool_call_id="call_1"),
        ),
        max_output_tokens=50,
        timeout_seconds=20,
        temperature=0.0,
        top_p=0.9,
        seed=7,
        stop=("END",),
        response_schema=SCHEMA,
        tools=(WEATHER,),
        stream=True,
    )

    await openai_provider.complete(request)

    function: dict[str, Json] = {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": WEATHER.parameters,
    }
    assert {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
                    }
                ],
            },
            {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
        ],
        "max_completion_tokens": 50,
        "temperature": 0.0,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["END"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
        "tools": [{"type": "function", "function": function}],
        "stream": True,
        "stream_options": {"include_usage": True},
    } == vendor.requests[0].body
    assert "Bearer test-key" == vendor.requests[0].headers["authorization"]


async def test_how_tools_may_be_used_is_sent_where_it_is_not_the_usual_way(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider
) -> None:
    usual = asking(tools=(WEATHER,))

    await openai_provider.complete(usual)
    await openai_provider.complete(replace(usual, tool_choice="none", parallel_tool_calls=False))

    first, second = (request.body for request in vendor.requests)
    assert {"tool_choice": "none", "parallel_tool_calls": False} == {
        name: value for name, value in second.items() if name not in first
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"title": {"type": "string"}}},
        {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False},
        {"type": "object", "properties": {"of": {"type": "object"}}, "required": ["of"], "additionalProperties": False},
    ],
)
async def test_a_schema_that_strict_mode_refuses_is_sent_without_it(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider, schema: dict[str, Json]
) -> None:
    await openai_provider.complete(asking(response_schema=schema))

    assert vendor.requests[0].body["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_usage_is_estimated(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider, stream: bool
) -> None:
    vendor.script(Answer(text="one two three", usage=None))

    response = await openai_provider.complete(asking("a question", stream=stream))

    assert response.usage_is_estimated
    assert len("a question") / 3 <= response.usage.input_tokens
    assert len("one two three") / 3 <= response.usage.output_tokens


async def test_what_an_answer_leaves_out_is_not_there(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(
        Malformed(
            body=b"""{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
                      "usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {}}}"""
        )
    )

    response = await openai_provider.complete(asking())

    assert ("yes", (), "stop", "test-model", "") == (
        response.text,
        response.tool_calls,
        response.finish_reason,
        response.model,
        response.response_id,
    )
    assert TokenUsage(input_tokens=3, output_tokens=1) == response.usage


async def test_what_is_left_out_of_calls_and_counts_is_made_up_for(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(
        Malformed(body=b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "now"}}]}}], "usage": {}}')
    )

    response = await openai_provider.complete(asking("a question"))

    assert (ToolCall(call_id="", name="now", arguments="{}"),) == response.tool_calls
    assert ("", "other", True) == (response.text, response.finish_reason, response.usage_is_estimated)
    assert len("a question") / 3 <= response.usage.input_tokens


@pytest.mark.parametrize("count", ["1e999", '"many"', "-5", "1000000000000000000", "[]", "1" * 4_000])
async def test_a_count_that_no_call_can_have_costs_the_count_and_not_the_answer(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider, count: str
) -> None:
    usage = f'{{"prompt_tokens": {count}, "completion_tokens": 1}}'
    body = f'{{"choices": [{{"message": {{"content": "x"}}, "finish_reason": "stop"}}], "usage": {usage}}}'
    vendor.script(Malformed(body=body.encode()))

    response = await openai_provider.complete(asking())

    assert ("x", True) == (response.text, response.usage_is_estimated)
    assert 0 < response.usage.input_tokens < 1_000


async def test_a_number_that_python_does_not_read_is_malformed(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(Malformed(body=b'{"choices": [], "usage": ' + b"1" * 5_000 + b"}"))

    with pytest.raises(MalformedProviderResponse):
        await openai_provider.complete(asking())


@pytest.mark.parametrize("stream", [False, True])
async def test_an_administrators_key_is_never_sent(
    vendor: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-key")
    provider = OpenAIProvider(api_key="", base_url=vendor.base_url_openai)
    before = len(vendor.requests)

    # The SDK's own way of saying so.
    with pytest.raises(TypeError, match="authentication"):
        await provider.complete(asking(stream=stream))

    await provider.close()
    assert before == len(vendor.requests)


@pytest.mark.parametrize(
    ("failure", "leaf"),
    [
        (Fail(status=400, error_code="context_length_exceeded"), ContextTooLong),
        (Fail(status=400, message="This model's maximum context length is 128000 tokens."), ContextTooLong),
        (Fail(status=400, error_code="content_filter"), ContentRefused),
        (Fail(status=429, error_code="insufficient_quota"), ProviderAuthenticationFailed),
    ],
)
async def test_a_code_tells_more_than_its_status(
    openai_provider: OpenAIProvider, vendor: ScriptedProvider, failure: Fail, leaf: type[ProviderError]
) -> None:
    vendor.script(failure)

    with pytest.raises(ProviderError) as raised:
        await openai_provider.complete(asking())

    assert leaf is type(raised.value)
    assert (failure.error_code or "invalid_request_error") == raised.value.reason


async def test_a_local_server_gets_the_older_limit_and_no_real_key(
    local_provider: LocalProvider, vendor: ScriptedProvider
) -> None:
    await local_provider.complete(asking())

    assert 50 == vendor.requests[0].body["max_tokens"]
    assert "max_completion_tokens" not in vendor.requests[0].body
    assert "Bearer none" == vendor.requests[0].headers["authorization"]


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    async with ScriptedProvider() as gone:
        url = gone.base_url_openai
    provider = LocalProvider(base_url=url)

    with pytest.raises(ProviderUnavailable):
        await provider.complete(asking())

    await provider.close()

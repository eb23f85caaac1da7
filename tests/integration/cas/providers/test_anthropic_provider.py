"""What only Anthropic's Messages API has."""

from dataclasses import replace

import pytest

from agentflow.digest import Json
from cas.errors import ContextTooLong, ProviderError
from cas.provider_models import ChatMessage, ModelRequest, ToolCall, ToolChoice
from cas.providers.anthropic_messages import UNREADABLE_ARGUMENTS
from cas.providers.anthropic_provider import AnthropicProvider
from tests.integration.cas.providers.requests import SCHEMA, WEATHER, asking
from tests.scripted_provider import Fail, ScriptedProvider


async def test_the_whole_request_is_sent(anthropic_provider: AnthropicProvider, vendor: ScriptedProvider) -> None:
    calls = tuple(ToolCall(call_id=f"call_{n}", name="weather", arguments='{"city":"Bonn"}') for n in (1, 2))
    request = ModelRequest(
        model="test-model",
        messages=(
            ChatMessage(role="system", text="Be brief."),
            ChatMessage(role="user", text="Weather?"),
            ChatMessage(role="assistant", text="I look.", tool_calls=calls),
            ChatMessage(role="tool", text="rain", tool_call_id="call_1"),
            ChatMessage(role="tool", text="sun", tool_call_id="call_2"),
            ChatMessage(role="user", text="And?"),
            ChatMessage(role="system", text="Be kind."),
        ),
        max_output_tokens=50,
        timeout_seconds=20,
        temperature=0.0,
        top_p=0.9,
        seed=7,
        stop=("END",),
        response_schema=SCHEMA,
        tools=(WEATHER,),
    )

    await anthropic_provider.complete(request)

    assert {
        "model": "test-model",
        "max_tokens": 50,
        "system": "Be brief.\n\nBe kind.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bonn"}},
                    {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Bonn"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "sun"},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
        "temperature": 0.0,
        "top_p": 0.9,
        "stop_sequences": ["END"],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "tools": [
            {"name": "weather", "description": "The weather of a city.", "input_schema": WEATHER.parameters},
        ],
    } == vendor.requests[0].body
    assert "Bearer test-key" == vendor.requests[0].headers["authorization"]


async def test_a_prompt_that_is_too_long_is_told_by_its_words(
    anthropic_provider: AnthropicProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(Fail(status=400, message="prompt is too long: 210000 tokens > 200000 maximum"))

    with pytest.raises(ContextTooLong):
        await anthropic_provider.complete(asking())


@pytest.mark.parametrize("arguments", ['{"city": ', "[1]", "null"])
async def test_arguments_that_are_no_object_go_on_as_the_text_that_they_are(
    anthropic_provider: AnthropicProvider, vendor: ScriptedProvider, arguments: str
) -> None:
    call = ToolCall(call_id="call_1", name="weather", arguments=arguments)
    messages = (ChatMessage(role="user", text="?"), ChatMessage(role="assistant", text="", tool_calls=(call,)))

    await anthropic_provider.complete(asking(messages=messages))

    (block,) = vendor.requests[0].body["messages"][1]["content"]
    assert {UNREADABLE_ARGUMENTS: arguments} == block["input"]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        ("none", True, {"type": "none"}),
        ("none", False, {"type": "none"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
async def test_how_tools_may_be_used_is_sent(
    anthropic_provider: AnthropicProvider, vendor: ScriptedProvider, choice: ToolChoice, parallel: bool, sent: Json
) -> None:
    request = replace(asking(tools=(WEATHER,)), tool_choice=choice, parallel_tool_calls=parallel)

    await anthropic_provider.complete(request)

    assert sent == vendor.requests[0].body["tool_choice"]


async def test_a_schema_without_types_is_refused_before_anything_is_sent(
    anthropic_provider: AnthropicProvider, vendor: ScriptedProvider
) -> None:
    with pytest.raises(ProviderError, match="schema"):
        await anthropic_provider.complete(asking(response_schema={"properties": {"title": {"type": "string"}}}))

    assert [] == vendor.requests

"""The provider for everyone else, through litellm itself, which takes seconds to import."""

import logging
import traceback
from collections.abc import AsyncIterator

import pytest

from cas.errors import (
    ContextTooLong,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from cas.provider_models import ChatMessage, ModelRequest, TokenUsage, ToolCall
from cas.providers.litellm_provider import LitellmProvider
from tests.integration.cas.providers.requests import SCHEMA, SECRET_PROMPT, WEATHER
from tests.scripted_provider import (
    Answer,
    Behaviour,
    BrokenStream,
    Drop,
    Fail,
    Hold,
    Malformed,
    ScriptedProvider,
    ScriptedToolCall,
    ScriptedUsage,
)

# What pydantic holds against litellm's own code, told in the middle of a call.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class .* is using the `ReadOnly` qualifier"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute on the instance"),
]


@pytest.fixture
async def litellm_provider(vendor: ScriptedProvider) -> AsyncIterator[LitellmProvider]:
    import litellm

    # litellm keeps its clients by the address of the event loop and the vendor's: another test may have had the same.
    litellm.in_memory_llm_clients_cache.cache_dict.clear()
    provider = LitellmProvider(api_key="test-key", base_url=vendor.base_url_openai)
    yield provider
    await provider.close()


def request_to(vendor_name: str = "openai", *, stream: bool = False, timeout_seconds: float = 20.0) -> ModelRequest:
    return ModelRequest(
        model=f"{vendor_name}/test-model",
        messages=(ChatMessage(role="user", text=SECRET_PROMPT),),
        max_output_tokens=50,
        timeout_seconds=timeout_seconds,
        stream=stream,
        idempotency_key="attempt-7",
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_with_its_text_and_usage(
    litellm_provider: LitellmProvider, vendor: ScriptedProvider, stream: bool
) -> None:
    usage = ScriptedUsage(input_tokens=100, output_tokens=30, cache_read_tokens=40, reasoning_tokens=10)
    vendor.script(Answer(text="one two three", usage=usage))
    pieces: list[str] = []

    response = await litellm_provider.complete(request_to(stream=stream), on_text=pieces.append)

    assert "one two three" == response.text == "".join(pieces)
    assert TokenUsage(input_tokens=100, output_tokens=30, cache_read_tokens=40, reasoning_tokens=10) == response.usage
    assert "stop" == response.finish_reason
    assert not response.usage_is_estimated
    assert stream == (response.time_to_first_token_seconds is not None)
    assert "test-model" == vendor.requests[0].body["model"]
    assert "attempt-7" == vendor.requests[0].headers["idempotency-key"]


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropics_protocol_counts_the_cache_inside_the_input(vendor: ScriptedProvider, stream: bool) -> None:
    provider = LitellmProvider(api_key="test-key", base_url=vendor.base_url_anthropic)
    usage = ScriptedUsage(input_tokens=100, output_tokens=30, cache_read_tokens=40, cache_write_tokens=20)
    vendor.script(Answer(text="one two three", usage=usage))

    response = await provider.complete(request_to("anthropic", stream=stream))

    assert "one two three" == response.text
    assert TokenUsage(input_tokens=100, output_tokens=30, cache_read_tokens=40, cache_write_tokens=20) == response.usage
    await provider.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_and_schemas_are_passed_on(
    litellm_provider: LitellmProvider, vendor: ScriptedProvider, stream: bool
) -> None:
    call = ScriptedToolCall(name="weather", arguments='{"city": "Bonn"}')
    vendor.script(Answer(tool_calls=(call,), stop_reason="tool_calls"))
    request = ModelRequest(
        model="openai/test-model",
        messages=(ChatMessage(role="user", text="Weather?"),),
        max_output_tokens=50,
        timeout_seconds=20,
        tools=(WEATHER,),
        response_schema=SCHEMA,
        stream=stream,
    )

    response = await litellm_provider.complete(request)

    assert (ToolCall(call_id="call_1", name="weather", arguments='{"city": "Bonn"}'),) == response.tool_calls
    assert "tool_calls" == response.finish_reason
    assert "weather" == vendor.requests[0].body["tools"][0]["function"]["name"]
    assert SCHEMA == vendor.requests[0].body["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize(
    ("behaviour", "leaf"),
    [
        (Fail(status=400), ProviderRejected),
        (Fail(status=400, error_code="context_length_exceeded", message="maximum context length"), ContextTooLong),
        (Fail(status=401), ProviderAuthenticationFailed),
        (Fail(status=403), ProviderAuthenticationFailed),
        (Fail(status=404), ProviderRejected),
        (Fail(status=429, retry_after="3"), RateLimited),
        (Fail(status=500), ProviderUnavailable),
        (Fail(status=503), ProviderUnavailable),
        (Drop(), ProviderUnavailable),
        # litellm itself calls an answer without choices a status of 500.
        (Malformed(body=b"{}"), ProviderUnavailable),
    ],
    ids=lambda value: getattr(value, "__name__", None) or repr(value)[:40],
)
async def test_a_failure_is_one_leaf_and_one_request(
    litellm_provider: LitellmProvider, vendor: ScriptedProvider, behaviour: Behaviour, leaf: type[ProviderError]
) -> None:
    vendor.script(behaviour)

    with pytest.raises(ProviderError) as failure:
        await litellm_provider.complete(request_to())

    assert leaf is type(failure.value)
    assert 1 == len(vendor.requests)
    assert SECRET_PROMPT not in "".join(traceback.format_exception(failure.value))


async def test_no_log_record_holds_the_prompt_the_answer_or_the_key(
    litellm_provider: LitellmProvider, vendor: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.script(Answer(text="a private answer"), Fail(status=400, message=SECRET_PROMPT))

    await litellm_provider.complete(request_to())
    with pytest.raises(ProviderRejected):
        await litellm_provider.complete(request_to())

    assert SECRET_PROMPT not in caplog.text
    assert "a private answer" not in caplog.text
    assert "test-key" not in caplog.text


async def test_a_rate_limit_carries_the_seconds_to_wait(
    litellm_provider: LitellmProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(Fail(status=429, retry_after="3"))

    with pytest.raises(RateLimited) as failure:
        await litellm_provider.complete(request_to())

    assert 3.0 == failure.value.retry_after_seconds


async def test_no_answer_in_time_is_a_timeout(litellm_provider: LitellmProvider, vendor: ScriptedProvider) -> None:
    vendor.script(Hold())

    with pytest.raises(ProviderTimeout):
        await litellm_provider.complete(request_to(timeout_seconds=0.5))

    await vendor.abandoned()


@pytest.mark.parametrize("ending", ["drop", "error"])
async def test_a_stream_that_the_vendor_breaks_off_is_an_outage(
    litellm_provider: LitellmProvider, vendor: ScriptedProvider, ending: str
) -> None:
    vendor.script(BrokenStream(text="one two three", words=2, ending="drop" if ending == "drop" else "error"))

    with pytest.raises(ProviderUnavailable):
        await litellm_provider.complete(request_to(stream=True))


async def test_a_model_without_a_vendor_is_rejected(litellm_provider: LitellmProvider) -> None:
    request = request_to("nobody-in-particular")

    with pytest.raises(ProviderRejected):
        await litellm_provider.complete(request)

"""What holds for every provider, whatever its protocol: answers, streams, and each way to fail."""

import asyncio
import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cas.errors import (
    ContextTooLong,
    MalformedProviderResponse,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from cas.provider_models import ModelProvider, TokenUsage, ToolCall
from tests.deadline import deadline
from tests.integration.cas.providers.requests import SCHEMA, SECRET_PROMPT, WEATHER, asking
from tests.scripted_provider import (
    Answer,
    BrokenStream,
    Drop,
    Fail,
    Hold,
    Malformed,
    ScriptedProvider,
    ScriptedToolCall,
    ScriptedUsage,
)

USAGE = ScriptedUsage(
    input_tokens=100, output_tokens=30, cache_read_tokens=40, cache_write_tokens=20, reasoning_tokens=10
)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_comes_with_its_text_usage_and_model(
    provider: ModelProvider, vendor: ScriptedProvider, stream: bool
) -> None:
    vendor.script(Answer(text="Grüße aus Bonn", usage=USAGE, model="test-model-2026-01-01"))

    response = await provider.complete(asking(stream=stream))

    assert "Grüße aus Bonn" == response.text
    assert (
        TokenUsage(input_tokens=100, output_tokens=30, cache_read_tokens=40, cache_write_tokens=20, reasoning_tokens=10)
        == response.usage
    )
    assert "test-model-2026-01-01" == response.model
    assert "stop" == response.finish_reason
    assert response.response_id.endswith("1")
    assert not response.usage_is_estimated
    assert stream == (response.time_to_first_token_seconds is not None)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_callback_gets_the_text(provider: ModelProvider, vendor: ScriptedProvider, stream: bool) -> None:
    vendor.script(Answer(text="one two three"))
    pieces: list[str] = []

    await provider.complete(asking(stream=stream), on_text=pieces.append)

    assert (["one", " two", " three"] if stream else ["one two three"]) == pieces


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_in_their_order(provider: ModelProvider, vendor: ScriptedProvider, stream: bool) -> None:
    scripted = (
        ScriptedToolCall(call_id="call_1", name="weather", arguments='{"city": "Bonn"}'),
        ScriptedToolCall(call_id="call_2", name="weather", arguments='{"city": "Köln"}'),
    )
    vendor.script(Answer(tool_calls=scripted, stop_reason="tool_calls"))

    response = await provider.complete(asking(stream=stream, tools=(WEATHER,)))

    assert "" == response.text
    assert "tool_calls" == response.finish_reason
    assert (
        ToolCall(call_id="call_1", name="weather", arguments='{"city": "Bonn"}'),
        ToolCall(call_id="call_2", name="weather", arguments='{"city": "Köln"}'),
    ) == response.tool_calls


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_stopped_early_says_why(
    provider: ModelProvider, vendor: ScriptedProvider, reason: str, stream: bool
) -> None:
    vendor.script(Answer(text="half", stop_reason="length" if reason == "length" else "content_filter"))

    response = await provider.complete(asking(stream=stream))

    assert reason == response.finish_reason


async def test_an_answer_to_a_schema_fits_it(provider: ModelProvider) -> None:
    response = await provider.complete(asking(response_schema=SCHEMA))

    assert '{"title":"text"}' == response.text


async def test_the_idempotency_key_travels_as_a_header(provider: ModelProvider, vendor: ScriptedProvider) -> None:
    await provider.complete(asking(idempotency_key="attempt-7"))

    assert "attempt-7" == vendor.requests[0].headers["idempotency-key"]


async def test_equal_prompts_get_equal_default_answers(provider: ModelProvider) -> None:
    first, second, other = [await provider.complete(asking(text)) for text in ("same", "same", "other")]

    assert first.text == second.text
    assert first.text != other.text


async def test_a_rate_limit_carries_the_seconds_to_wait(provider: ModelProvider, vendor: ScriptedProvider) -> None:
    vendor.script(Fail(status=429, retry_after="3"))

    with pytest.raises(RateLimited) as failure:
        await provider.complete(asking())

    assert 3.0 == failure.value.retry_after_seconds
    assert (provider.name, "test-model", 429) == (failure.value.provider, failure.value.model, failure.value.status)
    assert 1 == len(vendor.requests)


async def test_a_rate_limit_may_name_a_date(provider: ModelProvider, vendor: ScriptedProvider) -> None:
    vendor.script(Fail(status=429, retry_after=format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)))

    with pytest.raises(RateLimited) as failure:
        await provider.complete(asking())

    assert 3_600 == pytest.approx(failure.value.retry_after_seconds, abs=60)


@pytest.mark.parametrize("retry_after", [None, "soon", "-1"])
async def test_a_rate_limit_without_a_usable_wait_has_none(
    provider: ModelProvider, vendor: ScriptedProvider, retry_after: str | None
) -> None:
    vendor.script(Fail(status=429, retry_after=retry_after))

    with pytest.raises(RateLimited) as failure:
        await provider.complete(asking())

    assert failure.value.retry_after_seconds is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "leaf"),
    [
        (400, ProviderRejected),
        (401, ProviderAuthenticationFailed),
        (402, ProviderAuthenticationFailed),
        (403, ProviderAuthenticationFailed),
        (404, ProviderRejected),
        (408, ProviderTimeout),
        (409, ProviderUnavailable),
        (413, ContextTooLong),
        (422, ProviderRejected),
        (500, ProviderUnavailable),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderTimeout),
        (529, ProviderUnavailable),
    ],
)
async def test_a_status_is_one_leaf_and_one_request(
    provider: ModelProvider, vendor: ScriptedProvider, status: int, leaf: type[ProviderError], stream: bool
) -> None:
    vendor.script(Fail(status=status))

    with pytest.raises(ProviderError) as failure:
        await provider.complete(asking(stream=stream))

    assert leaf is type(failure.value)
    assert status == failure.value.status
    assert 1 == len(vendor.requests)


async def test_an_outage_carries_the_seconds_to_wait(provider: ModelProvider, vendor: ScriptedProvider) -> None:
    vendor.script(Fail(status=503, retry_after="2"))

    with pytest.raises(ProviderUnavailable) as failure:
        await provider.complete(asking())

    assert 2.0 == failure.value.retry_after_seconds


async def test_a_failure_quotes_neither_the_vendors_words_nor_the_key(
    provider: ModelProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(Fail(status=400, message=f"bad key test-key in: {SECRET_PROMPT}"))

    with pytest.raises(ProviderRejected) as failure:
        await provider.complete(asking())

    told = "".join(traceback.format_exception(failure.value)) + repr(vars(failure.value))
    assert SECRET_PROMPT not in told
    assert "test-key" not in told


async def test_no_log_record_holds_the_prompt_the_answer_or_the_key(
    provider: ModelProvider, vendor: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.script(Answer(text="a private answer"), Fail(status=400, message=SECRET_PROMPT))

    await provider.complete(asking())
    with pytest.raises(ProviderRejected):
        await provider.complete(asking())

    assert SECRET_PROMPT not in caplog.text
    assert "a private answer" not in caplog.text
    assert "test-key" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
async def test_no_answer_in_time_is_a_timeout_and_the_vendor_is_let_go(
    provider: ModelProvider, vendor: ScriptedProvider, stream: bool
) -> None:
    vendor.script(Hold())

    with pytest.raises(ProviderTimeout):
        await provider.complete(asking(stream=stream, timeout_seconds=0.3))

    await vendor.abandoned()


async def test_the_timeout_is_for_the_whole_answer_and_not_for_each_piece(
    provider: ModelProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(BrokenStream(text="one two three", words=1, ending="hold"))
    pieces: list[str] = []

    with pytest.raises(ProviderTimeout):
        await provider.complete(asking(stream=True, timeout_seconds=0.3), on_text=pieces.append)

    assert ["one"] == pieces


async def test_a_cancelled_stream_has_told_what_it_got_and_lets_the_vendor_go(
    provider: ModelProvider, vendor: ScriptedProvider
) -> None:
    vendor.script(BrokenStream(text="one two three", words=2, ending="hold"))
    pieces: list[str] = []
    both_words = asyncio.Event()

    def on_text(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 2:
            both_words.set()

    async with deadline("a cancelled call to end, and the vendor to hear of it"):
        call = asyncio.create_task(provider.complete(asking(stream=True), on_text=on_text))
        await both_words.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await vendor.abandoned()

    assert ["one", " two"] == pieces


@pytest.mark.parametrize(
    "answer",
    [
        Malformed(),
        Malformed(body=b"<html>busy</html>", content_type="text/html"),
        Malformed(body=b"{}"),
        Malformed(body=b"[]"),
        Malformed(body=b"null"),
        Malformed(body=b""),
        Malformed(body=b"\xff\xfe\xff"),
        Malformed(body=b'{"choices": [], "content": 7, "usage": {}}'),
        Malformed(body=b'{"choices":' + b"[" * 100_000),
    ],
    ids=["cut", "html", "empty object", "list", "null", "nothing", "not utf-8", "wrong fields", "bottomless"],
)
async def test_an_answer_that_is_not_the_protocol_is_malformed(
    provider: ModelProvider, vendor: ScriptedProvider, answer: Malformed
) -> None:
    vendor.script(answer)

    with pytest.raises(MalformedProviderResponse):
        await provider.complete(asking())


@pytest.mark.parametrize("ending", ["end", "garbage"])
async def test_a_stream_that_ends_before_its_answer_is_malformed(
    provider: ModelProvider, vendor: ScriptedProvider, ending: str
) -> None:
    vendor.script(BrokenStream(text="one two three", words=2, ending="end" if ending == "end" else "garbage"))
    pieces: list[str] = []

    with pytest.raises(MalformedProviderResponse):
        await provider.complete(asking(stream=True), on_text=pieces.append)

    assert ["one", " two"] == pieces


@pytest.mark.parametrize("ending", ["drop", "error"])
async def test_a_stream_that_the_vendor_breaks_off_is_an_outage(
    provider: ModelProvider, vendor: ScriptedProvider, ending: str
) -> None:
    vendor.script(BrokenStream(text="one two three", words=2, ending="drop" if ending == "drop" else "error"))

    with pytest.raises(ProviderUnavailable):
        await provider.complete(asking(stream=True))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dropped_connection_is_an_outage(
    provider: ModelProvider, vendor: ScriptedProvider, stream: bool
) -> None:
    vendor.script(Drop())

    with pytest.raises(ProviderUnavailable):
        await provider.complete(asking(stream=stream))

    assert 1 == len(vendor.requests)


async def test_a_provider_goes_on_after_a_failure(provider: ModelProvider, vendor: ScriptedProvider) -> None:
    vendor.script(Drop(), Answer(text="back"))

    with pytest.raises(ProviderUnavailable):
        await provider.complete(asking())

    assert "back" == (await provider.complete(asking())).text


async def test_calls_run_side_by_side(provider: ModelProvider, vendor: ScriptedProvider) -> None:
    vendor.script(*[Hold()] * 20)

    async with deadline("twenty calls at once to be answered"):
        calls = [asyncio.create_task(provider.complete(asking(str(number)))) for number in range(20)]
        await vendor.received(20)
        vendor.release()
        answers = await asyncio.gather(*calls)

    assert 20 == len({answer.text for answer in answers})

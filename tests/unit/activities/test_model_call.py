import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from activities.model_call import ModelCallAttempt, end_after_error
from activities.payloads import RunRef, StepCall
from activities.resources import Resources
from activities.step_context import StepContext
from agentflow.clock import SystemClock
from agentflow.money import MicroUsd
from agentflow.settings import ModelOffer, Settings
from cas.errors import (
    ContentRefused,
    ContextTooLong,
    MalformedProviderResponse,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderNotConfigured,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from cas.models import Route
from cas.price_book import PriceBook
from cas.provider_models import ChatMessage, ModelRequest, ModelResponse, TokenUsage
from cas.token_count import estimate_prompt_tokens, estimate_text_tokens
from runs.plan import Leaf, PlanNode, RetryPlan, StepPolicy, TimeoutPlan

#: A micro-USD for each token in, two for each token out.
OFFER = ModelOffer(
    provider="openai",
    model="small-1",
    input_micro_usd_per_million_tokens=1_000_000,
    output_micro_usd_per_million_tokens=2_000_000,
)
CEILING = MicroUsd(5_000)
MESSAGES = (ChatMessage(role="user", text="Say something long."),)
REFUSALS: list[type[ProviderError]] = [
    RateLimited,
    ProviderRejected,
    ProviderAuthenticationFailed,
    ContentRefused,
    ContextTooLong,
]


@pytest.fixture(scope="module")
async def resources() -> AsyncIterator[Resources]:
    """A worker's resources; no connection is opened before it is used."""
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none", vault_key=base64.b64encode(bytes(32)).decode()
    )
    resources = Resources(settings)
    yield resources
    await resources.close()


@pytest.fixture
def context() -> StepContext:
    leaf = Leaf(kind="llm", target="prompt@1", arguments={}, policy=StepPolicy())
    node = PlanNode(
        node_id="analyze",
        type="llm",
        leaf=leaf,
        upstream=(),
        retry=RetryPlan(),
        timeout=TimeoutPlan(run_seconds=60, idle_seconds=60),
    )
    run = RunRef(org_id="org_1", run_id="run_1", plan_digest="0" * 64, inputs_digest="1" * 64)
    call = StepCall(run=run, node_id="analyze", outputs={}, item_index=3)
    return StepContext(call=call, node=node, attempt=1, temporal_run_id="execution", started_at=SystemClock().now())


def attempt_of(
    resources: Resources,
    context: StepContext,
    *,
    stream: bool = True,
    max_output_tokens: int = 512,
    priced: bool = True,
) -> ModelCallAttempt:
    price = PriceBook([OFFER]).price("openai", "small-1") if priced else None
    return ModelCallAttempt(
        resources,
        context,
        ordinal=0,
        route=Route(
            provider="openai",
            model="small-1",
            price=price,
            ceiling_micro_usd=CEILING,
            expected_micro_usd=MicroUsd(10),
            max_output_tokens=512,
        ),
        request=ModelRequest(
            model="small-1",
            messages=MESSAGES,
            max_output_tokens=max_output_tokens,
            timeout_seconds=10,
            stream=stream,
        ),
        reservation_id="call_1",
    )


def failure(kind: type[ProviderError], *, status: int | None = None, never_sent: bool = False) -> ProviderError:
    error = kind(provider="openai", model="small-1", status=status)
    error.never_sent = never_sent
    return error


UNCONFIGURED = ProviderNotConfigured(provider="openai", setting="OPENAI_API_KEY", advice="is not set")


@pytest.mark.parametrize(
    "error",
    [
        UNCONFIGURED,
        *(failure(kind) for kind in REFUSALS),
        failure(RateLimited, status=429),
        failure(ProviderUnavailable, status=503),
        failure(ProviderUnavailable, never_sent=True),
        failure(ProviderTimeout, never_sent=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [True, False])
def test_money_is_given_back_when_the_vendor_cannot_have_billed(
    resources: Resources, context: StepContext, error: Exception, stream: bool
) -> None:
    end = end_after_error(attempt_of(resources, context, stream=stream), error)

    assert ("call_1", "release", 0) == (end.reservation_id, end.outcome, end.actual_micro_usd)
    assert 0 == context.cost_micro_usd


@pytest.mark.parametrize(
    "error",
    [
        failure(ProviderUnavailable),
        failure(ProviderUnavailable, status=200),
        failure(ProviderTimeout),
        failure(ProviderTimeout, status=504),
        failure(MalformedProviderResponse),
        failure(MalformedProviderResponse, status=200),
        failure(ProviderError),
        asyncio.CancelledError(),
        TimeoutError(),
        RuntimeError("a defect of ours"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("stream", [True, False])
def test_money_stays_set_aside_when_nobody_knows_whether_the_vendor_bills(
    resources: Resources, context: StepContext, error: BaseException, stream: bool
) -> None:
    end = end_after_error(attempt_of(resources, context, stream=stream), error)

    assert ("call_1", "uncertain", 0) == (end.reservation_id, end.outcome, end.actual_micro_usd)
    assert 0 == context.cost_micro_usd


@pytest.mark.parametrize(
    "error",
    [
        failure(ProviderUnavailable),
        failure(ProviderUnavailable, status=200),
        failure(ProviderTimeout),
        failure(MalformedProviderResponse),
        *(failure(kind, status=200) for kind in REFUSALS),
        asyncio.CancelledError(),
        RuntimeError("a defect of ours"),
    ],
    ids=repr,
)
def test_a_stream_that_was_cut_is_settled_by_what_it_is_estimated_to_have_cost(
    resources: Resources, context: StepContext, error: BaseException
) -> None:
    context.partial_text += ["The first part ", "of an answer"]

    end = end_after_error(attempt_of(resources, context), error)

    input_tokens = estimate_prompt_tokens(MESSAGES)
    output_tokens = estimate_text_tokens("The first part of an answer")
    assert ("call_1", "settle") == (end.reservation_id, end.outcome)
    assert input_tokens + 2 * output_tokens == end.actual_micro_usd == context.cost_micro_usd
    assert ("analyze[3]", True) == (end.details["step"], end.details["usage_is_estimated"])


def test_an_estimate_is_never_for_more_tokens_than_were_asked_for(resources: Resources, context: StepContext) -> None:
    context.partial_text.append("word " * 1_000)

    end = end_after_error(attempt_of(resources, context, max_output_tokens=10), failure(ProviderTimeout))

    assert estimate_prompt_tokens(MESSAGES) + 2 * 10 == end.actual_micro_usd


def test_a_cut_stream_of_a_model_without_a_price_costs_its_ceiling(resources: Resources, context: StepContext) -> None:
    context.partial_text.append("word")

    end = end_after_error(attempt_of(resources, context, priced=False), failure(ProviderTimeout))

    assert CEILING == end.actual_micro_usd
    assert end.details["price"] is None


def test_text_of_a_call_that_does_not_stream_is_no_cut_stream(resources: Resources, context: StepContext) -> None:
    context.partial_text.append("of an answer that came whole")

    end = end_after_error(attempt_of(resources, context, stream=False), failure(ProviderTimeout))

    assert "uncertain" == end.outcome


async def test_text_of_the_route_before_is_not_billed_to_the_next_one(
    resources: Resources, context: StepContext
) -> None:
    context.partial_text.append("streamed by the route before")
    attempt, error = attempt_of(resources, context), failure(ProviderUnavailable, status=503)

    async def proceed() -> ModelResponse:
        raise error

    with pytest.raises(ProviderUnavailable):
        await attempt.perform(proceed)

    assert "release" == end_after_error(attempt, error).outcome
    assert [("error", "provider.unavailable")] == [(span.status, span.error_type) for span in context.spans]


async def test_an_answer_is_settled_by_the_usage_that_the_vendor_reports(
    resources: Resources, context: StepContext
) -> None:
    attempt = attempt_of(resources, context)
    response = ModelResponse(
        text="Fine.",
        tool_calls=(),
        finish_reason="stop",
        usage=TokenUsage(input_tokens=30, output_tokens=7),
        model="small-1-2025",
        response_id="r",
        time_to_first_token_seconds=None,
        usage_is_estimated=False,
    )

    async def proceed() -> ModelResponse:
        return response

    end = attempt.end_after(await attempt.perform(proceed))

    assert ("settle", 30 + 2 * 7) == (end.outcome, end.actual_micro_usd)
    assert (30, 7, 44) == (context.input_tokens, context.output_tokens, context.cost_micro_usd)
    assert end.details["usage_is_estimated"] is False


async def test_a_call_that_is_cancelled_is_told_of_as_cancelled(resources: Resources, context: StepContext) -> None:
    async def proceed() -> ModelResponse:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await attempt_of(resources, context).perform(proceed)

    assert ["cancelled"] == [span.status for span in context.spans]

"""One physical call of one model, as routing sees it: performed, measured, and what becomes of its reservation."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from activities.interceptors.step_interceptor import Proceed
from activities.resources import Resources
from activities.step_context import StepContext
from agentflow.digest import Json
from agentflow.flat_values import flat_dict
from agentflow.money import MicroUsd
from agentflow.statements import Statement
from cas.budget_ledger import releasing, settlement
from cas.errors import (
    ContentRefused,
    ContextTooLong,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderNotConfigured,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
)
from cas.models import Route
from cas.price_book import cost
from cas.provider_models import ModelRequest, ModelResponse, TokenUsage
from cas.repository import uncertain_statement
from cas.token_count import estimate_prompt_tokens, estimate_text_tokens
from observability.telemetry.span_record import ModelCall, Outcome, SpanRecord, llm_span
from promptops.prompt_reference import parse_prompt_reference

#: The vendor said no before any work: nothing is billed.
_REFUSED_UNBILLED = (
    RateLimited,
    ProviderRejected,
    ProviderAuthenticationFailed,
    ProviderNotConfigured,
    ContentRefused,
    ContextTooLong,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """What becomes of a call's reservation."""

    reservation_id: str
    outcome: Literal["settle", "release", "uncertain"]
    actual_micro_usd: MicroUsd = MicroUsd(0)
    details: Mapping[str, Json] = field(default_factory=dict)

    def statement(self, org_id: str) -> Statement:
        """What ends the reservation so."""
        if self.outcome == "settle":
            return settlement(
                org_id=org_id,
                reservation_id=self.reservation_id,
                actual=self.actual_micro_usd,
                details=self.details,
            )
        if self.outcome == "release":
            return releasing(org_id=org_id, reservation_id=self.reservation_id)
        return uncertain_statement(org_id=org_id, reservation_id=self.reservation_id)


class ModelCallAttempt:
    """A call to one route."""

    def __init__(
        self,
        resources: Resources,
        context: StepContext,
        *,
        ordinal: int,
        route: Route,
        request: ModelRequest,
        reservation_id: str,
    ) -> None:
        self._resources, self._context = resources, context
        self._ordinal, self.route, self.request, self.reservation_id = ordinal, route, request, reservation_id

    async def perform(self, proceed: Proceed) -> ModelResponse:
        """The answer; notes span, metrics and time whatever happens."""
        context = self._context
        context.route, context.request = self.route, self.request
        context.partial_text.clear()
        started_at, began = self._resources.clock.now(), time.perf_counter()
        response: ModelResponse | None = None
        failure: BaseException | None = None
        try:
            response = await proceed()
        except BaseException as error:
            failure = error
            if self.has_streamed:
                context.partial_answers.append("".join(context.partial_text))
            raise
        finally:
            seconds = time.perf_counter() - began
            context.provider_seconds += seconds
            self._account(response)
            outcome = Outcome(
                started_at=started_at,
                ended_at=self._resources.clock.now(),
                status=_status(failure),
                error_type=_error_type(failure),
            )
            context.spans.append(self._span(response, outcome))
            self._measure(response, outcome, seconds)
        return response

    def end_after(self, response: ModelResponse) -> CallEnd:
        """The settlement with what the vendor reports, or with the ceiling where the model has no price."""
        return self._settled(response.usage, is_estimated=response.usage_is_estimated)

    def estimated_end(self) -> CallEnd:
        """The settlement of a stream that was cut: the prompt, and the answer as far as it came."""
        end = self._settled(self._estimated_usage(), is_estimated=True)
        self._context.cost_micro_usd = MicroUsd(self._context.cost_micro_usd + end.actual_micro_usd)
        return end

    @property
    def has_streamed(self) -> bool:
        """Whether part of an answer has come."""
        return self.request.stream and bool(self._context.partial_text)

    @staticmethod
    def cached_span(context: StepContext, route: Route, response: ModelResponse) -> SpanRecord:
        """The span of a call that our cache answered."""
        outcome = Outcome(started_at=context.started_at, ended_at=context.started_at)
        call = _describe(context, route, response, cost_micro_usd=MicroUsd(0), cache_hit=True)
        return llm_span(context.span_attempt, ordinal=0, call=call, outcome=outcome)

    def _account(self, response: ModelResponse | None) -> None:
        if response is None:
            return
        context = self._context
        context.response = response
        context.answers.append(response)
        context.input_tokens += response.usage.input_tokens
        context.output_tokens += response.usage.output_tokens
        context.cost_micro_usd = MicroUsd(context.cost_micro_usd + self._cost(response.usage))

    def _span(self, response: ModelResponse | None, outcome: Outcome) -> SpanRecord:
        spent = self._cost(response.usage) if response is not None else None
        call = _describe(self._context, self.route, response, cost_micro_usd=spent, request=self.request)
        return llm_span(self._context.span_attempt, ordinal=self._ordinal, call=call, outcome=outcome)

    def _measure(self, response: ModelResponse | None, outcome: Outcome, seconds: float) -> None:
        self._resources.metrics.record_model_call(
            provider=self.route.provider,
            model=self.route.model,
            duration_seconds=seconds,
            input_tokens=response.usage.input_tokens if response else None,
            output_tokens=response.usage.output_tokens if response else None,
            cost_micro_usd=self._cost(response.usage) if response else MicroUsd(0),
            error_type=outcome.error_type,
        )

    def _settled(self, usage: TokenUsage, *, is_estimated: bool) -> CallEnd:
        price = self.route.price
        details: dict[str, Json] = {
            "step": self._context.where,
            "usage": flat_dict(usage),
            "usage_is_estimated": is_estimated,
            "price": {"source": price.source, "digest": price.digest, **flat_dict(price.rates)} if price else None,
        }
        return CallEnd(
            reservation_id=self.reservation_id,
            outcome="settle",
            actual_micro_usd=self._cost(usage),
            details=details,
        )

    def _cost(self, usage: TokenUsage) -> MicroUsd:
        return cost(self.route.price, usage) if self.route.price is not None else self.route.ceiling_micro_usd

    def _estimated_usage(self) -> TokenUsage:
        text = "".join(self._context.partial_text)
        return TokenUsage(
            input_tokens=estimate_prompt_tokens(
                self.request.messages, tools=self.request.tools, response_schema=self.request.response_schema
            ),
            output_tokens=min(estimate_text_tokens(text), self.request.max_output_tokens),
        )


def end_after_error(attempt: ModelCallAttempt, error: BaseException) -> CallEnd:
    """Given back when the vendor cannot have billed; estimated when a stream was cut; else kept as uncertain."""
    if isinstance(error, ProviderNotConfigured) or (isinstance(error, ProviderError) and error.never_sent):
        return CallEnd(reservation_id=attempt.reservation_id, outcome="release")
    if attempt.has_streamed:
        return attempt.estimated_end()
    if isinstance(error, _REFUSED_UNBILLED) or (isinstance(error, ProviderUnavailable) and (error.status or 0) >= 400):
        return CallEnd(reservation_id=attempt.reservation_id, outcome="release")
    return CallEnd(reservation_id=attempt.reservation_id, outcome="uncertain")


def _status(failure: BaseException | None) -> Literal["ok", "error", "cancelled"]:
    if failure is None:
        return "ok"
    return "cancelled" if isinstance(failure, asyncio.CancelledError) else "error"


def _error_type(failure: BaseException | None) -> str | None:
    if failure is None:
        return None
    return failure.code if isinstance(failure, ProviderError) else type(failure).__name__


def _describe(
    context: StepContext,
    route: Route,
    response: ModelResponse | None,
    *,
    cost_micro_usd: MicroUsd | None,
    cache_hit: bool = False,
    request: ModelRequest | None = None,
) -> ModelCall:
    prompt = parse_prompt_reference(context.prompt) if context.prompt else None
    usage = response.usage if response is not None else None
    return ModelCall(
        provider=route.provider,
        request_model=route.model,
        temperature=request.temperature if request else None,
        top_p=request.top_p if request else None,
        max_tokens=request.max_output_tokens if request else None,
        seed=request.seed if request else None,
        response_model=response.model if response else None,
        response_id=response.response_id if response else None,
        finish_reasons=(response.finish_reason,) if response else (),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cache_read_input_tokens=usage.cache_read_tokens if usage else None,
        cache_creation_input_tokens=usage.cache_write_tokens if usage else None,
        reasoning_output_tokens=usage.reasoning_tokens if usage else None,
        time_to_first_chunk_seconds=response.time_to_first_token_seconds if response else None,
        prompt_name=prompt.name if prompt else None,
        prompt_version=prompt.version if prompt else None,
        cost_micro_usd=cost_micro_usd,
        cache_hit=cache_hit,
    )

"""Cost-aware routing around a model call: exact cache, budget, route, call, fall-back, settlement.

Money is set aside in every budget before a call leaves, and the reservation's end is written in the transaction that
records the step. Between two routes the first reservation ends before the second begins.
"""

import asyncio
import random
from dataclasses import replace
from typing import Any, NoReturn, TypeAlias

from activities.call_turn import CallTurn
from activities.interceptors.step_interceptor import Proceed, StepInterceptor
from activities.model_call import CallEnd, ModelCallAttempt, end_after_error
from activities.resources import Resources
from activities.retry_posture import Posture, posture_of
from activities.step_context import Claiming, Ending, StepContext
from agentflow.digest import keyed_digest
from agentflow.statements import Statement, execute_each
from cas.budget_ledger import BudgetLedger, releasing
from cas.cache_repository import CacheRepository, get_statement, put_statement
from cas.errors import (
    BudgetExceeded,
    BudgetOnHold,
    ContentRefused,
    ProviderError,
    RateLimited,
    RateLimitReached,
    RoutesExhausted,
)
from cas.exact_cache import TTL_SECONDS, cache_key, decode_response, encode_response, is_cacheable
from cas.models import ReservationRequest, Route, Routing
from cas.provider_models import ModelRequest, ModelResponse
from cas.repository import ReserveOutcome, reserve_statement
from cas.token_count import estimate_prompt_tokens, max_prompt_tokens
from runs.journal_repository import effect_key
from runs.plan import ModelParameters

#: A reservation outlives the call's own time limit by this much before the sweeper calls it uncertain.
_LEASE_MARGIN_SECONDS = 30.0
#: Kept from the step's time for what comes after the call.
_AFTER_CALL_SECONDS = 1.0
_LEAST_CALL_SECONDS = 1.0
#: Pauses in which other calls may give back what they hold; after them the step gives its place in the worker up.
_HOLD_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4)
_LONGEST_HOLD_SECONDS = 15.0

#: Why a route was not taken to its end, so that the next may be tried.
_RouteFailure: TypeAlias = ProviderError | BudgetExceeded | BudgetOnHold | RateLimitReached


class CasRoutingInterceptor(StepInterceptor):
    """Chooses where a model call goes and pays for it."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def around(self, context: StepContext, proceed: Proceed) -> Any:
        """The model's answer. Raises NoModelAvailable, BudgetExceeded, RoutesExhausted or a ProviderError."""
        if context.leaf.kind != "llm":
            return await proceed()
        return await _RoutedCall(self._resources, context, proceed).answer()


class _RoutedCall:
    """One step's way through its routes."""

    def __init__(self, resources: Resources, context: StepContext, proceed: Proceed) -> None:
        self._resources, self._context, self._proceed = resources, context, proceed
        self._parameters = context.leaf.parameters or ModelParameters()
        self._ends: list[CallEnd] = []
        #: About how many tokens the prompt has; known once the routes are.
        self._prompt_tokens = 0
        #: Route → the key of its answer in the cache; none where the policy keeps the cache out.
        self._cache_keys: dict[str, str] = {}
        self._cache_key: str | None = None

    async def answer(self) -> ModelResponse:
        context = self._context
        routing = self._route()
        context.decision = {**routing.record(), "sla_ms": context.leaf.policy.sla_ms}
        context.closing.append(self._close)
        request = self._request()
        try:
            cached = await self._begin(routing, request)
            # A cancellation that waited for the flight arrives here, before anything has left.
            await asyncio.sleep(0)
        except BaseException:
            self._never_sent(0)
            raise
        if cached is not None:
            return cached
        return await self._try_routes(routing, request)

    async def _try_routes(self, routing: Routing, request: ModelRequest) -> ModelResponse:
        failures: dict[str, _RouteFailure] = {}
        waiting: list[CallTurn] = []
        for ordinal, route in enumerate(routing.routes):
            try:
                if ordinal:
                    await self._reserve_next(ordinal, route)
                turn = self._turn(route)
                try:
                    await turn.take()
                except BaseException as error:
                    self._never_sent(ordinal)
                    if isinstance(error, RateLimitReached):
                        waiting.append(turn)
                    raise
                return await self._call(ordinal, route, request, turn)
            except ContentRefused:
                # A refusal is an answer; another vendor is not asked until one says yes.
                raise
            except (ProviderError, BudgetExceeded, BudgetOnHold, RateLimitReached) as error:
                failures[route.name] = error
                self._context.decision["failed"] = {name: failure.code for name, failure in failures.items()}
                if isinstance(error, BudgetExceeded | BudgetOnHold):
                    break
        if waiting and len(waiting) == len(failures):
            # Nothing is wrong but the time: the cheapest of them is asked when it has room.
            await waiting[0].book()
        raise _failure_of(failures)

    def _turn(self, route: Route) -> CallTurn:
        tokens = self._prompt_tokens + route.max_output_tokens
        return CallTurn(self._resources.limiter, self._context, route, tokens=tokens)

    async def _call(self, ordinal: int, route: Route, request: ModelRequest, turn: CallTurn) -> ModelResponse:
        context = self._context
        reservation_id = self._reservation_id(ordinal)
        request = replace(
            request,
            model=route.model,
            max_output_tokens=route.max_output_tokens,
            idempotency_key=reservation_id,
            timeout_seconds=self._seconds(),
        )
        self._cache_key = self._cache_keys.get(route.name)
        attempt = ModelCallAttempt(
            self._resources, context, ordinal=ordinal, route=route, request=request, reservation_id=reservation_id
        )
        try:
            response = await attempt.perform(self._proceed)
        except BaseException as error:
            self._ends.append(end_after_error(attempt, error))
            if isinstance(error, RateLimited) and error.retry_after_seconds is not None:
                turn.asked_to_wait(error.retry_after_seconds)
            elif isinstance(error, ProviderError) and error.never_sent:
                turn.unused()
            raise
        self._ends.append(attempt.end_after(response))
        turn.after(response.usage)
        context.decision["chosen"] = route.name
        if context.leaf.policy.sla_ms is not None:
            context.decision["sla_met"] = context.provider_seconds * 1_000 <= context.leaf.policy.sla_ms
        return response

    def _route(self) -> Routing:
        messages, tools, schema = self._context.messages, self._context.tools, self._context.leaf.output_schema
        self._prompt_tokens = estimate_prompt_tokens(messages, tools=tools, response_schema=schema)
        return self._resources.router.route(
            tier=self._context.leaf.policy.quality,
            estimated_input_tokens=self._prompt_tokens,
            max_input_tokens=max_prompt_tokens(messages, tools=tools, response_schema=schema),
            max_output_tokens=self._parameters.max_output_tokens,
            pinned=self._parameters.model,
            may_shorten=self._parameters.may_shorten,
        )

    def _request(self) -> ModelRequest:
        parameters, schema = self._parameters, self._context.leaf.output_schema
        return ModelRequest(
            model="",
            messages=self._context.messages,
            max_output_tokens=parameters.max_output_tokens,
            timeout_seconds=self._seconds(),
            temperature=parameters.temperature,
            top_p=parameters.top_p,
            seed=parameters.seed,
            stop=parameters.stop,
            response_schema=schema if schema is not None and schema.get("type") == "object" else None,
            tools=self._context.tools,
            tool_choice=self._context.tool_choice,
            parallel_tool_calls=self._context.parallel_tool_calls,
            stream=parameters.stream,
        )

    async def _begin(self, routing: Routing, request: ModelRequest) -> ModelResponse | None:
        """Claims the step, looks into the cache, sets the first route's money aside: one flight, one commit."""
        context, claiming = self._context, self._context.claiming
        if claiming is None:
            raise LookupError("an llm step has no journal around it")
        if self._may_be_cached():
            self._cache_keys = {route.name: self._key(route, request) for route in routing.routes}
        # Best route first.
        keys = [] if context.call.run.asks_anew else list(self._cache_keys.values())
        reservation = self._reservation(0, routing.routes[0])
        statements = [
            claiming.statement(),
            get_statement(org_id=context.org_id, cache_keys=keys),
            reserve_statement(reservation, now=self._resources.clock.now(), unless_cached=keys),
            *context.opening,
        ]
        claimed, found, reserved, *_ = await self._resources.database.fly(statements)
        if not claiming.take(claimed):
            await self._give_up(claiming, reservation)
        outcome = ReserveOutcome.of(reserved[0])
        cached = {row.cache_key: row.response for row in found}
        if not found and (outcome.is_cached or not (outcome.complete and outcome.fits)):
            cached = await self._begin_slowly(keys, reservation, outcome)
        for route in routing.routes:
            key = self._cache_keys.get(route.name)
            if key in cached:
                return self._from_cache(route, decode_response(cached[key]))
        if keys:
            self._resources.metrics.record_cache_lookup(result="miss")
        return None

    async def _begin_slowly(
        self, keys: list[str], reservation: ReservationRequest, outcome: ReserveOutcome
    ) -> dict[str, Any]:
        """What the one flight could not do: an answer that came in meanwhile, a budget's new window, or a refusal."""
        if outcome.is_cached:
            async with self._resources.database.transaction() as session:
                cached = await CacheRepository(session).get_any(org_id=self._context.org_id, cache_keys=keys)
            if cached:
                return dict(cached)
        await self._reserve(reservation, [])
        return {}

    async def _reserve(self, reservation: ReservationRequest, before: list[Statement]) -> None:
        """Sets money aside, after the statements `before`; waits a little for what calls under way give back.

        Raises BudgetExceeded, or BudgetOnHold with the time after which to come again.
        """
        for pause_seconds in (*_HOLD_PAUSES_SECONDS, None):
            try:
                async with self._resources.database.transaction() as session:
                    await execute_each(session, before)
                    await BudgetLedger(session, self._resources.clock).reserve(reservation)
            except BudgetOnHold as error:
                if pause_seconds is None:
                    # Apart from one another, so that those who wait do not come all at once.
                    longest = min(0.5 * 2 ** min(self._context.attempt, 10), _LONGEST_HOLD_SECONDS)
                    error.retry_after_seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                    raise
                await asyncio.sleep(pause_seconds)
            else:
                return

    async def _give_up(self, claiming: Claiming, reservation: ReservationRequest) -> NoReturn:
        """The step is another attempt's, or recorded: what was set aside along with the claim is given back."""
        async with self._resources.database.transaction() as session:
            ending = releasing(org_id=reservation.org_id, reservation_id=reservation.reservation_id)
            await execute_each(session, [ending])
        async with self._resources.database.transaction() as session:
            await claiming.refused(session)

    def _from_cache(self, route: Route, response: ModelResponse) -> ModelResponse:
        context = self._context
        context.route, context.response, context.cache_hit = route, response, True
        context.answers.append(response)
        context.decision["chosen"], context.decision["cached"] = route.name, True
        self._resources.metrics.record_cache_lookup(result="hit")
        context.spans.append(ModelCallAttempt.cached_span(context, route, response))
        return response

    async def _reserve_next(self, ordinal: int, route: Route) -> None:
        try:
            await self._reserve(self._reservation(ordinal, route), self._settlements())
        except BaseException:
            self._never_sent(ordinal)
            raise

    def _never_sent(self, ordinal: int) -> None:
        """Whatever may have been set aside for a call that did not leave is given back when the step ends."""
        self._ends.append(CallEnd(reservation_id=self._reservation_id(ordinal), outcome="release"))

    def _reservation(self, ordinal: int, route: Route) -> ReservationRequest:
        return ReservationRequest(
            reservation_id=self._reservation_id(ordinal),
            org_id=self._context.org_id,
            run_id=self._context.budget_run_id,
            provider=route.provider,
            model=route.model,
            ceiling_micro_usd=route.ceiling_micro_usd,
            lease_seconds=self._seconds() + _LEASE_MARGIN_SECONDS,
        )

    def _close(self, ending: Ending) -> list[Statement]:
        """Part of the transaction that ends the step."""
        statements = self._settlements()
        response = self._context.response
        may_keep = ending.status == "ok" and not self._context.cache_hit
        if may_keep and response is not None and self._cache_key is not None and is_cacheable(response):
            statements.append(
                put_statement(
                    org_id=self._context.org_id,
                    cache_key=self._cache_key,
                    response=encode_response(response),
                    ttl_seconds=TTL_SECONDS,
                )
            )
        return statements

    def _settlements(self) -> list[Statement]:
        """Ends what has an end; each of these statements does nothing the second time."""
        return [end.statement(self._context.org_id) for end in self._ends]

    def _may_be_cached(self) -> bool:
        """A model that samples is asked each time, unless the policy says that one answer will do."""
        cache = self._context.leaf.policy.cache
        return self._parameters.temperature == 0 if cache is None else cache

    def _key(self, route: Route, request: ModelRequest) -> str:
        policy = self._context.leaf.policy
        return cache_key(
            route=route,
            request=request,
            prompt=self._context.prompt or "",
            policy={"pii": policy.pii, "injection": policy.injection},
        )

    def _reservation_id(self, ordinal: int) -> str:
        """One id per physical call: a try of Temporal's is made once, and none of two executions is the same."""
        context = self._context
        name = keyed_digest(effect_key(context.key), context.temporal_run_id, context.attempt, ordinal)
        return f"call_{name[:40]}"

    def _seconds(self) -> float:
        """What is left of the step's time for one call."""
        spent = (self._resources.clock.now() - self._context.started_at).total_seconds()
        return max(self._context.timeout.run_seconds - spent - _AFTER_CALL_SECONDS, _LEAST_CALL_SECONDS)


def _failure_of(failures: dict[str, _RouteFailure]) -> _RouteFailure | RoutesExhausted:
    """The only failure itself; of several, the one that stands for all: worth another attempt if any of them is."""
    errors = list(failures.values())
    if len(errors) == 1:
        return errors[0]
    on_hold = next((error for error in errors if isinstance(error, BudgetOnHold)), None)
    if on_hold is not None:
        return on_hold
    if any(posture_of(error) is Posture.RETRY for error in errors):
        return RoutesExhausted(attempts=tuple(str(error) for error in errors))
    return errors[0]

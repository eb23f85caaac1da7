"""A model call's turn at the rate limits of the settings: waited for while that is short, else booked for later."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from activities.step_context import Ending, StepContext
from agentflow.digest import keyed_digest
from agentflow.statements import Statement
from cas.errors import RateLimitReached
from cas.models import Route
from cas.provider_models import TokenUsage
from cas.rate_limiter import RateLimiter, correction, giving_back, pausing
from runs.journal_repository import effect_key

#: A turn that comes so soon is waited for here; for a later one the step gives its place in the worker up.
_PATIENCE_SECONDS = 1.0


class CallTurn:
    """The turn of one call to one route; nothing at all where no limit applies to it."""

    def __init__(self, limiter: RateLimiter, context: StepContext, route: Route, *, tokens: int) -> None:
        self._limiter, self._context, self._route = limiter, context, route
        self._takes = limiter.takes(org_id=context.org_id, provider=route.provider, model=route.model, tokens=tokens)

    async def take(self) -> None:
        """Waits for a turn that comes soon; raises RateLimitReached for a later one."""
        if not self._takes:
            return
        wait = await self._limiter.admit(
            self._takes, org_id=self._context.org_id, booking_id=self._booking_id, patience_seconds=_PATIENCE_SECONDS
        )
        if wait > _PATIENCE_SECONDS:
            raise self._refusal(wait)
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            self.unused()
            raise

    async def book(self) -> NoReturn:
        """Books the next turn, and ends the attempt until then: raises RateLimitReached."""
        raise self._refusal(
            await self._limiter.book(self._takes, org_id=self._context.org_id, booking_id=self._booking_id)
        )

    def after(self, usage: TokenUsage) -> None:
        """Puts the buckets right by what the call has used."""
        statement = correction(self._takes, usage) if self._takes else None
        if statement is not None:
            self._in_closing([statement])

    def unused(self) -> None:
        """Gives back what a call took that never reached its vendor."""
        if self._takes:
            self._in_closing([giving_back(self._takes)])

    def asked_to_wait(self, seconds: float) -> None:
        """Keeps everyone from a vendor that asked for that."""
        if self._takes:
            self._in_closing([pausing(self._takes, seconds=seconds)])

    @property
    def _booking_id(self) -> str:
        return keyed_digest(effect_key(self._context.key), self._route.name)

    def _refusal(self, wait_seconds: float) -> RateLimitReached:
        return RateLimitReached(
            provider=self._route.provider, model=self._route.model, retry_after_seconds=wait_seconds
        )

    def _in_closing(self, statements: Sequence[Statement]) -> None:
        # Part of the transaction that ends the step, whether it ends well or not.
        def close(_ending: Ending) -> Sequence[Statement]:
            return statements

        self._context.closing.append(close)

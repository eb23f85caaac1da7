"""Token buckets in front of model calls: who may call now, and exactly when whoever may not comes again.

A call that must wait for longer than a moment books its turn: what it needs is taken at once, for later, so that of a
thousand that wait none comes in vain.
"""

from collections.abc import Sequence

from agentflow.database import Database
from agentflow.settings import RateLimit
from agentflow.statements import Statement
from cas.provider_models import TokenUsage
from cas.rate_limit_repository import RateLimitRepository, adjust_statement, empty_statement
from cas.rate_limits import BucketTake, takes_of

#: Longer than any wait.
_ANY_WAIT = 1e9


class RateLimiter:
    """Admits calls by the configured limits; without any it never asks the database."""

    def __init__(self, database: Database, limits: Sequence[RateLimit]) -> None:
        self._database, self._limits = database, tuple(limits)

    def takes(self, *, org_id: str, provider: str, model: str, tokens: int) -> tuple[BucketTake, ...]:
        """What a call of about so many tokens takes; nothing where no limit applies to it."""
        if not self._limits:
            return ()
        return takes_of(self._limits, org_id=org_id, provider=provider, model=model, tokens=tokens)

    async def admit(
        self, takes: Sequence[BucketTake], *, org_id: str, booking_id: str, patience_seconds: float
    ) -> float:
        """Takes what a call needs, or the turn that it booked; gives the seconds that it must still wait, then may go.

        When that is more than `patience_seconds` nothing is taken, and a booked turn stays.
        """
        async with self._database.transaction() as session:
            repository = RateLimitRepository(session)
            wait = await repository.find_booking(org_id=org_id, booking_id=booking_id)
            if wait is None:
                return await _take(repository, takes, patience_seconds)
            if wait <= patience_seconds:
                await repository.take_booking(org_id=org_id, booking_id=booking_id)
            return wait

    async def book(self, takes: Sequence[BucketTake], *, org_id: str, booking_id: str) -> float:
        """Takes what a call needs for as soon as there is room, and gives the seconds until then; once for each id."""
        async with self._database.transaction() as session:
            repository = RateLimitRepository(session)
            wait = await repository.find_booking(org_id=org_id, booking_id=booking_id)
            if wait is None:
                wait = await _take(repository, takes, _ANY_WAIT)
                await repository.book(org_id=org_id, booking_id=booking_id, seconds=wait)
            return wait


async def _take(repository: RateLimitRepository, takes: Sequence[BucketTake], patience_seconds: float) -> float:
    outcome = await repository.take(takes, patience_seconds=patience_seconds)
    if not outcome.complete:
        await repository.ensure(takes)
        outcome = await repository.take(takes, patience_seconds=patience_seconds)
    return outcome.wait_seconds


def correction(takes: Sequence[BucketTake], usage: TokenUsage) -> Statement | None:
    """What puts the buckets right once it is known what a call has used; None when no bucket counts tokens."""
    used = usage.input_tokens + usage.output_tokens
    changes = [take.taking(used - take.amount) for take in takes if take.counts_tokens]
    return adjust_statement(changes) if changes else None


def giving_back(takes: Sequence[BucketTake]) -> Statement:
    """What puts the buckets right when a call never reached its vendor."""
    return adjust_statement([take.taking(-take.amount) for take in takes])


def pausing(takes: Sequence[BucketTake], *, seconds: float) -> Statement:
    """What keeps everyone from calling a vendor that asked to wait."""
    return empty_statement(takes, seconds=seconds)

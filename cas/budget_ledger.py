"""Two-phase budgets: money is set aside before a call and settled with what the call really cost.

Holds live in PostgreSQL, not in counters that expire: a crashed holder's money stays accounted for. A
call whose outcome is not known keeps its hold as *uncertain* until the sweeper writes it off as spent.
"""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.clock import Clock
from agentflow.digest import Json
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from agentflow.statements import Statement
from cas.errors import BudgetExceeded, BudgetInvalid, BudgetOnHold
from cas.models import Budget, BudgetStatus, Period, ReservationRequest, ReservationState
from cas.repository import BudgetRepository, end_statement, uncertain_statement

#: Holds nobody reconciled for this long are taken as spent.
WRITE_OFF_SECONDS = 24 * 3600.0


def settlement(*, org_id: str, reservation_id: str, actual: MicroUsd, details: Mapping[str, Json]) -> Statement:
    """Posts what a call cost, even above its ceiling; does nothing to a reservation that has ended."""
    return end_statement(
        org_id=org_id,
        reservation_id=reservation_id,
        state=ReservationState.SETTLED,
        actual=actual,
        reason="usage",
        details=details,
    )


def releasing(*, org_id: str, reservation_id: str) -> Statement:
    """Gives the money of a call back that was refused, or never made."""
    return end_statement(
        org_id=org_id,
        reservation_id=reservation_id,
        state=ReservationState.RELEASED,
        actual=MicroUsd(0),
        reason="released",
        details={},
    )


class BudgetLedger:
    """Budgets of organisations and runs, inside the caller's transaction."""

    def __init__(self, session: AsyncSession, clock: Clock) -> None:
        self._repository = BudgetRepository(session)
        self._clock = clock

    async def create_budget(self, *, org_id: str, period: Period, limit: MicroUsd, run_id: str | None = None) -> Budget:
        """A new budget; raises BudgetInvalid for a negative limit, or a run budget without a run."""
        if limit < 0:
            raise BudgetInvalid(reason=f"the limit is {limit} micro-USD; it cannot be negative")
        if (period is Period.RUN) != (run_id is not None):
            raise BudgetInvalid(reason="a budget of the period `run` belongs to a run, and no other does")
        budget = Budget(
            budget_id=new_id("budget"),
            org_id=org_id,
            period=period,
            limit_micro_usd=limit,
            run_id=run_id,
            created_at=self._clock.now(),
        )
        await self._repository.add_budget(budget)
        return budget

    async def statuses(
        self, *, org_id: str, run_id: str | None = None, after: str = "", limit: int = 100
    ) -> list[BudgetStatus]:
        """Budgets with their present windows, by id."""
        return await self._repository.statuses(
            org_id=org_id, run_id=run_id, now=self._clock.now(), after=after, limit=limit
        )

    async def reserve(self, request: ReservationRequest) -> None:
        """Sets money aside in every budget that applies, or in none; a repeated id adds no hold.

        Raises BudgetExceeded naming the budget with the least left, or BudgetOnHold where only holds are in the way.
        """
        now = self._clock.now()
        outcome = await self._repository.reserve(request, now=now)
        if not outcome.complete:
            await self._repository.ensure_windows(org_id=request.org_id, run_id=request.run_id, now=now)
            outcome = await self._repository.reserve(request, now=now)
        if not outcome.fits and not await self._is_repeated(request):
            is_on_hold = await self._repository.fits_without_holds(request, now=now)
            raise (BudgetOnHold if is_on_hold else BudgetExceeded)(
                budget_id=str(outcome.tightest_budget_id),
                missing=MicroUsd(request.ceiling_micro_usd - (outcome.tightest_available or 0)),
                scope=str(outcome.tightest_period),
            )

    async def settle(self, *, org_id: str, reservation_id: str, actual: MicroUsd, details: Mapping[str, Json]) -> bool:
        """Posts what a call cost, even above its ceiling; False when it was settled before."""
        return await self._repository.execute(
            settlement(org_id=org_id, reservation_id=reservation_id, actual=actual, details=details)
        )

    async def release(self, *, org_id: str, reservation_id: str) -> bool:
        """Gives the money back: the call was refused, or never made."""
        return await self._repository.execute(releasing(org_id=org_id, reservation_id=reservation_id))

    async def mark_uncertain(self, *, org_id: str, reservation_id: str) -> None:
        """Keeps the hold of a call that may have been billed."""
        await self._repository.execute(uncertain_statement(org_id=org_id, reservation_id=reservation_id))

    async def sweep(self, *, write_off_seconds: float = WRITE_OFF_SECONDS, limit: int = 500) -> tuple[int, int]:
        """Accounts for the holds of holders that are gone: how many became uncertain, how many were written off."""
        expired = await self._repository.expire_holds()
        written_off = await self._repository.write_off(
            older_than_seconds=write_off_seconds,
            limit=limit,
            reason="uncertain",
            details={"assumed": "the whole ceiling"},
        )
        return expired, written_off

    async def _is_repeated(self, request: ReservationRequest) -> bool:
        # A statement of its own: it sees what committed while reserving waited for the lock.
        return await self._repository.is_open(org_id=request.org_id, reservation_id=request.reservation_id)

"""The ledger as an edge uses it, a clock that stands still, and what the tables hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import RowMapping, text

from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from cas.budget_ledger import WRITE_OFF_SECONDS, BudgetLedger
from cas.models import Budget, BudgetStatus, Period, ReservationRequest
from cas.repository import BudgetRepository
from tests.deadline import deadline

#: A Tuesday; the day after is of the same week and month.
TUESDAY = datetime(2026, 10, 6, 12, tzinfo=UTC)
#: The lease of a holder that has crashed: it is over as soon as its transaction is.
CRASHED = 0.0


@dataclass
class StillClock:
    """Tells the instant that a test has set."""

    instant: datetime = field(default=TUESDAY)

    def now(self) -> datetime:
        return self.instant


class TransactionalLedger:
    """One organisation's ledger: one transaction for each call."""

    def __init__(self, database: Database, org_id: str, clock: StillClock | None = None) -> None:
        self.database, self.org_id, self.clock = database, org_id, clock or StillClock()

    async def budget(self, period: Period, limit: int, *, run_id: str | None = None) -> Budget:
        async with self.database.transaction() as session:
            return await BudgetLedger(session, self.clock).create_budget(
                org_id=self.org_id, period=period, limit=MicroUsd(limit), run_id=run_id
            )

    async def budget_in_place(self, period: Period, place: int, *, run_id: str | None = None) -> Budget:
        """A large budget whose id sorts at `place` among those of the organisation."""
        budget = Budget(
            budget_id=f"budget_{self.org_id}_{place}",
            org_id=self.org_id,
            period=period,
            limit_micro_usd=MicroUsd(10_000),
            run_id=run_id,
            created_at=self.clock.now(),
        )
        async with self.database.transaction() as session:
            await BudgetRepository(session).add_budget(budget)
        return budget

    def request(
        self,
        ceiling: int,
        *,
        reservation_id: str | None = None,
        run_id: str = "run_1",
        lease_seconds: float = 3_600.0,
    ) -> ReservationRequest:
        return ReservationRequest(
            reservation_id=reservation_id or new_id("call"),
            org_id=self.org_id,
            run_id=run_id,
            provider="openai",
            model="gpt-4o",
            ceiling_micro_usd=MicroUsd(ceiling),
            lease_seconds=lease_seconds,
        )

    async def reserve(
        self,
        ceiling: int,
        *,
        reservation_id: str | None = None,
        run_id: str = "run_1",
        lease_seconds: float = 3_600.0,
    ) -> str:
        """The reservation's id."""
        request = self.request(ceiling, reservation_id=reservation_id, run_id=run_id, lease_seconds=lease_seconds)
        async with self.database.transaction() as session:
            await BudgetLedger(session, self.clock).reserve(request)
        return request.reservation_id

    async def settle(self, reservation_id: str, actual: int) -> bool:
        async with self.database.transaction() as session:
            return await BudgetLedger(session, self.clock).settle(
                org_id=self.org_id, reservation_id=reservation_id, actual=MicroUsd(actual), details={"price": "p1"}
            )

    async def release(self, reservation_id: str) -> bool:
        async with self.database.transaction() as session:
            return await BudgetLedger(session, self.clock).release(org_id=self.org_id, reservation_id=reservation_id)

    async def mark_uncertain(self, reservation_id: str) -> None:
        async with self.database.transaction() as session:
            await BudgetLedger(session, self.clock).mark_uncertain(org_id=self.org_id, reservation_id=reservation_id)

    async def sweep(self, *, write_off_seconds: float = WRITE_OFF_SECONDS, limit: int = 500) -> tuple[int, int]:
        async with self.database.transaction() as session:
            return await BudgetLedger(session, self.clock).sweep(write_off_seconds=write_off_seconds, limit=limit)

    async def statuses(self, *, run_id: str | None = None, after: str = "", limit: int = 100) -> list[BudgetStatus]:
        async with self.database.transaction() as session:
            return await BudgetLedger(session, self.clock).statuses(
                org_id=self.org_id, run_id=run_id, after=after, limit=limit
            )

    async def money(self, budget: Budget) -> tuple[int, int, int]:
        """What the budget's present window has spent, holds, and has left."""
        [status] = [
            status
            for status in await self.statuses(run_id=budget.run_id)
            if status.budget.budget_id == budget.budget_id
        ]
        return status.spent_micro_usd, status.held_micro_usd, status.remaining_micro_usd

    async def state(self, reservation_id: str) -> str:
        [row] = await self.rows("SELECT state FROM reservations WHERE reservation_id = :id", id=reservation_id)
        return str(row["state"])

    async def entries(self) -> list[tuple[str, str, int, str]]:
        """Transaction, account, amount and reason, in the order of posting."""
        found = await self.rows(
            "SELECT transaction_id, account, amount_micro_usd, reason FROM ledger_entries WHERE org_id = :org_id "
            "ORDER BY entry_id"
        )
        return [(row["transaction_id"], row["account"], row["amount_micro_usd"], row["reason"]) for row in found]

    async def rows(self, statement: str, **parameters: str) -> Sequence[RowMapping]:
        async with self.database.transaction() as session:
            found = await session.execute(text(statement), {"org_id": self.org_id, **parameters})
            return found.mappings().all()

    async def until_waiting(self, transactions: int) -> None:
        """Returns when so many transactions wait for another one's lock."""
        statement = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with deadline(f"{transactions} transactions to wait for a lock"):
            while len(await self.rows(statement)) < transactions:
                pass

"""The law of the ledger: whatever happens in whatever order, no money appears and none gets lost."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agentflow.database import Database
from agentflow.ids import new_id
from cas.errors import BudgetExceeded, BudgetOnHold
from cas.models import BudgetStatus, Period
from tests.integration.cas.transactional_ledger import CRASHED, TUESDAY, StillClock, TransactionalLedger

pytestmark = pytest.mark.integration

LIMITS = {Period.DAILY: 400, Period.WEEKLY: 700, Period.MONTHLY: 1_000}
RUN_LIMIT = 300
HOUR = 3_600.0
#: Without shrinking, which would play moves against the database for minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

#: Every window beside what the reservations and the ledger say that it should hold and have spent.
BOOKS = """
    SELECT windows.held_micro_usd AS held, windows.spent_micro_usd AS spent,
           coalesce(sum(calls.ceiling_micro_usd) FILTER (WHERE calls.state IN ('held', 'uncertain')), 0) AS open,
           coalesce(sum(calls.settled_micro_usd), 0) AS settled, coalesce(sum(posted.amount_micro_usd), 0) AS posted
    FROM budget_windows AS windows
    LEFT JOIN (
        SELECT reservations.*, covered.* FROM reservations
        CROSS JOIN LATERAL unnest(budget_ids, window_starts) AS covered (budget_id, window_start)
    ) AS calls ON calls.budget_id = windows.budget_id AND calls.window_start = windows.window_start
    LEFT JOIN ledger_entries AS posted
      ON posted.transaction_id = calls.reservation_id AND posted.account LIKE 'spend:%'
    WHERE windows.org_id = :org_id
    GROUP BY windows.budget_id, windows.window_start
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One thing that happens to the ledger; each kind reads the fields that it needs."""

    kind: Literal["reserve", "repeat", "settle", "release", "doubt", "sweep", "write off", "next day"]
    amount: int
    #: Which of the reservations so far.
    pick: int
    run_id: str
    has_crashed: bool


MOVES = st.builds(
    Move,
    kind=st.sampled_from(
        ["reserve", "reserve", "reserve", "repeat", "settle", "settle", "release", "doubt", "sweep", "write off"]
    )
    | st.just("next day"),
    amount=st.integers(min_value=0, max_value=400),
    pick=st.integers(min_value=0, max_value=50),
    run_id=st.sampled_from(["run_1", "run_2"]),
    has_crashed=st.booleans(),
)


class Bookkeeper:
    """Plays moves and knows, from the outside, what each of them has to answer."""

    def __init__(self, ledger: TransactionalLedger) -> None:
        self._ledger = ledger
        #: In the order of making; True while it holds money.
        self._is_open: dict[str, bool] = {}
        self._ceilings: dict[str, int] = {}
        self._crashed: set[str] = set()
        self.overdraft = 0

    async def play(self, move: Move) -> None:
        match move.kind:
            case "reserve":
                await self._reserve(move)
            case "next day":
                self._ledger.clock.instant += timedelta(days=1)
            case "sweep":
                await self._ledger.sweep(write_off_seconds=HOUR)
            case "write off":
                await self._ledger.sweep(write_off_seconds=0, limit=10_000)
                self._is_open.update(dict.fromkeys(self._crashed, False))
            case _ if self._is_open:
                await self._touch(move, list(self._is_open)[move.pick % len(self._is_open)])

    async def _reserve(self, move: Move) -> None:
        call, left = new_id("call"), await self._left(move.run_id)
        lease_seconds = CRASHED if move.has_crashed else HOUR
        reserving = self._ledger.reserve(
            move.amount, reservation_id=call, run_id=move.run_id, lease_seconds=lease_seconds
        )
        if move.amount > left:
            with pytest.raises((BudgetExceeded, BudgetOnHold)) as refusal:
                await reserving
            assert isinstance(refusal.value, BudgetExceeded | BudgetOnHold)
            assert move.amount - left == refusal.value.missing
            return
        await reserving
        self._is_open[call], self._ceilings[call] = True, move.amount
        if move.has_crashed:
            self._crashed.add(call)

    async def _touch(self, move: Move, call: str) -> None:
        was_open = self._is_open[call]
        match move.kind:
            case "repeat":
                if was_open:
                    await self._ledger.reserve(self._ceilings[call], reservation_id=call)
            case "doubt":
                await self._ledger.mark_uncertain(call)
            case "release":
                assert was_open == await self._ledger.release(call)
                self._is_open[call] = False
            case _:
                assert was_open == await self._ledger.settle(call, move.amount)
                self._is_open[call] = False
                self.overdraft += max(0, move.amount - self._ceilings[call]) if was_open else 0

    async def _left(self, run_id: str) -> int:
        return min(status.remaining_micro_usd for status in await self._ledger.statuses(run_id=run_id))


@given(moves=st.lists(MOVES, min_size=5, max_size=25))
@settings(max_examples=80, deadline=None, phases=PHASES)
async def test_money_is_conserved_whatever_happens(moves: list[Move], database: Database) -> None:
    ledger = TransactionalLedger(database, new_id("org"), StillClock(TUESDAY))
    for period, limit in LIMITS.items():
        await ledger.budget(period, limit)
    await ledger.budget(Period.RUN, RUN_LIMIT, run_id="run_1")
    bookkeeper = Bookkeeper(ledger)

    for move in moves:
        await bookkeeper.play(move)
        for window in await ledger.rows(BOOKS):
            assert window["open"] == window["held"]
            assert window["settled"] == window["posted"] == window["spent"]
        for status in await ledger.statuses(run_id="run_1"):
            assert _limit(status) == status.spent_micro_usd + status.held_micro_usd + status.remaining_micro_usd
            assert -bookkeeper.overdraft <= status.remaining_micro_usd

    assert not await ledger.rows(
        "SELECT transaction_id FROM ledger_entries WHERE org_id = :org_id "
        "GROUP BY transaction_id HAVING sum(amount_micro_usd) <> 0"
    )


def _limit(status: BudgetStatus) -> int:
    return LIMITS.get(status.budget.period, RUN_LIMIT)

"""Budgets under many callers at once: nothing is overspent, and nobody waits in a circle."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from agentflow.database import Database
from agentflow.ids import new_id
from cas.budget_ledger import BudgetLedger
from cas.errors import BudgetOnHold
from cas.models import Period
from cas.repository import BudgetRepository
from tests.deadline import deadline
from tests.integration.cas.transactional_ledger import CRASHED, TUESDAY, TransactionalLedger

pytestmark = pytest.mark.integration

POOL = 20


@pytest.fixture(scope="module")
async def wide_database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=POOL)
    yield database
    await database.close()


@pytest.fixture
def crowd(wide_database: Database, org_id: str) -> TransactionalLedger:
    return TransactionalLedger(wide_database, org_id)


async def test_a_thousand_reservations_at_once_never_overspend(crowd: TransactionalLedger) -> None:
    limit, ceiling = 100_000, 137
    budget = await crowd.budget(Period.DAILY, limit)
    turns = asyncio.Semaphore(POOL)

    async def reserve() -> bool:
        async with turns:
            try:
                await crowd.reserve(ceiling)
            except BudgetOnHold:
                return False
            return True

    granted = sum(await asyncio.gather(*(reserve() for _ in range(1_000))))

    assert limit // ceiling == granted
    assert (0, granted * ceiling, limit - granted * ceiling) == await crowd.money(budget)


async def test_callers_that_reserve_and_settle_at_once_leave_what_they_spent(crowd: TransactionalLedger) -> None:
    budgets = [await crowd.budget(period, 10**6) for period in (Period.DAILY, Period.WEEKLY, Period.MONTHLY)]
    turns = asyncio.Semaphore(POOL)

    async def call(actual: int) -> None:
        async with turns:
            reservation_id = await crowd.reserve(1_000)
            await (crowd.settle(reservation_id, actual) if actual % 3 else crowd.release(reservation_id))

    await asyncio.gather(*(call(actual) for actual in range(200)))

    spent = sum(actual for actual in range(200) if actual % 3)
    assert [(spent, 0, 10**6 - spent)] * 3 == [await crowd.money(budget) for budget in budgets]
    assert spent == sum(amount for _, account, amount, _ in await crowd.entries() if account != "funds")


async def test_one_reservation_asked_for_by_many_at_once_is_held_once_and_granted_to_all(
    crowd: TransactionalLedger,
) -> None:
    budget, call = await crowd.budget(Period.DAILY, 1_000), new_id("call")

    granted = await asyncio.gather(*(crowd.reserve(1_000, reservation_id=call) for _ in range(POOL)))

    assert [call] * POOL == granted
    assert (0, 1_000, 0) == await crowd.money(budget)


async def test_of_many_settlements_at_once_one_counts(crowd: TransactionalLedger) -> None:
    budget = await crowd.budget(Period.DAILY, 1_000)
    call = await crowd.reserve(1_000)

    counted = await asyncio.gather(*(crowd.settle(call, 10 + number) for number in range(POOL)))

    spent = 10 + counted.index(True)
    assert 1 == sum(counted)
    assert (spent, 0, 1_000 - spent) == await crowd.money(budget)
    assert [spent, -spent] == [amount for _, _, amount, _ in await crowd.entries()]


async def test_sweeps_at_once_write_each_hold_off_once(crowd: TransactionalLedger) -> None:
    budget = await crowd.budget(Period.DAILY, 10_000)
    for _ in range(30):
        await crowd.reserve(100, lease_seconds=CRASHED)

    await asyncio.gather(*(crowd.sweep(write_off_seconds=0, limit=10) for _ in range(POOL)))
    await crowd.sweep(write_off_seconds=0)

    assert (3_000, 0, 7_000) == await crowd.money(budget)
    assert 60 == len(await crowd.entries())


async def test_a_sweep_passes_over_a_hold_that_is_being_settled(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(300, lease_seconds=CRASHED)
    await ledger.sweep()

    async with deadline("a sweep beside a release"), ledger.database.transaction() as session:
        assert await BudgetLedger(session, ledger.clock).release(org_id=ledger.org_id, reservation_id=call)
        await ledger.sweep(write_off_seconds=0)

    assert "released" == await ledger.state(call)
    assert (0, 0, 1_000) == await ledger.money(budget)


async def test_the_first_calls_of_a_new_day_do_not_deadlock(ledger: TransactionalLedger) -> None:
    await ledger.budget_in_place(Period.DAILY, 1)
    await ledger.budget_in_place(Period.MONTHLY, 2)
    await ledger.reserve(1)
    ledger.clock.instant = tomorrow = TUESDAY + timedelta(days=1)
    early = ledger.request(1)

    async with ledger.database.transaction() as session:
        repository = BudgetRepository(session)
        found_no_window = await repository.reserve(early, now=tomorrow)
        async with ledger.database.transaction() as other:
            await BudgetRepository(other).ensure_windows(org_id=ledger.org_id, run_id="run_1", now=tomorrow)
        late = asyncio.create_task(ledger.reserve(1))
        await ledger.until_waiting(1)
        found_windows = await repository.reserve(early, now=tomorrow)
    await late

    assert (False, True) == (found_no_window.complete, found_windows.complete)
    assert [2, 3] == [status.held_micro_usd for status in await ledger.statuses()]


async def test_a_call_that_ends_yesterdays_and_begins_todays_does_not_deadlock_with_one_of_today(
    ledger: TransactionalLedger,
) -> None:
    await ledger.budget_in_place(Period.DAILY, 1)
    await ledger.budget_in_place(Period.MONTHLY, 2)
    yesterdays = await ledger.reserve(100)
    ledger.clock.instant = TUESDAY + timedelta(days=1)
    await ledger.reserve(1)

    async with ledger.database.transaction() as session:
        mine = BudgetLedger(session, ledger.clock)
        await mine.release(org_id=ledger.org_id, reservation_id=yesterdays)
        todays = asyncio.create_task(ledger.reserve(1))
        await ledger.until_waiting(1)
        await mine.reserve(ledger.request(1))
    await todays

    assert [3, 3] == [status.held_micro_usd for status in await ledger.statuses()]


async def test_a_sweep_over_several_runs_does_not_deadlock_with_their_calls(ledger: TransactionalLedger) -> None:
    runs = [await ledger.budget_in_place(Period.RUN, place, run_id=f"run_{place}") for place in (1, 2)]
    shared = await ledger.budget_in_place(Period.DAILY, 3)
    for run in runs:
        await ledger.reserve(100, run_id=str(run.run_id), lease_seconds=CRASHED)
    await ledger.sweep()

    async with ledger.database.transaction() as session:
        await BudgetLedger(session, ledger.clock).reserve(ledger.request(5, run_id="run_3"))
        sweep = asyncio.create_task(ledger.sweep(write_off_seconds=0))
        await ledger.until_waiting(1)
        calls = [asyncio.create_task(ledger.reserve(7, run_id=str(run.run_id))) for run in runs]
        await ledger.until_waiting(3)
    await asyncio.gather(sweep, *calls)

    assert [(100, 7, 9_893)] * 2 == [await ledger.money(run) for run in runs]
    assert (200, 19, 9_781) == await ledger.money(shared)

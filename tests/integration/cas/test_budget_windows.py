"""Budgets that start afresh, told by a clock that a test sets."""

from datetime import UTC, datetime, timedelta

import pytest

from cas.errors import BudgetExceeded, BudgetOnHold
from cas.models import Period
from tests.integration.cas.transactional_ledger import TUESDAY, TransactionalLedger

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("period", "still_in_it", "next_window"),
    [
        (Period.DAILY, datetime(2026, 10, 6, 23, 59, tzinfo=UTC), datetime(2026, 10, 7, tzinfo=UTC)),
        (Period.WEEKLY, datetime(2026, 10, 11, 23, 59, tzinfo=UTC), datetime(2026, 10, 12, tzinfo=UTC)),
        (Period.MONTHLY, datetime(2026, 10, 31, 23, 59, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
async def test_a_new_window_has_fresh_money_and_the_old_one_keeps_its_spend(
    ledger: TransactionalLedger, period: Period, still_in_it: datetime, next_window: datetime
) -> None:
    budget = await ledger.budget(period, 1_000)
    await ledger.settle(await ledger.reserve(700), 700)

    ledger.clock.instant = still_in_it
    with pytest.raises(BudgetExceeded):
        await ledger.reserve(301)
    ledger.clock.instant = next_window
    await ledger.reserve(1_000)

    [fresh] = await ledger.statuses()
    assert (period.window_start(next_window), 0, 1_000) == (
        fresh.window_start,
        fresh.spent_micro_usd,
        fresh.held_micro_usd,
    )
    ledger.clock.instant = still_in_it
    assert (700, 0, 300) == await ledger.money(budget)


async def test_a_call_is_settled_in_the_window_that_it_was_reserved_in(ledger: TransactionalLedger) -> None:
    daily, monthly = await ledger.budget(Period.DAILY, 1_000), await ledger.budget(Period.MONTHLY, 1_000)
    call = await ledger.reserve(400)

    ledger.clock.instant = TUESDAY + timedelta(days=1)
    await ledger.settle(call, 150)

    assert [(0, 0, 1_000), (150, 0, 850)] == [await ledger.money(daily), await ledger.money(monthly)]
    ledger.clock.instant = TUESDAY
    assert (150, 0, 850) == await ledger.money(daily)


async def test_a_budget_does_not_count_calls_that_were_reserved_before_it_was_made(
    ledger: TransactionalLedger,
) -> None:
    call = await ledger.reserve(400)
    budget = await ledger.budget(Period.DAILY, 1_000)

    await ledger.settle(call, 400)

    assert (0, 0, 1_000) == await ledger.money(budget)


async def test_a_runs_budget_does_not_start_afresh(ledger: TransactionalLedger) -> None:
    await ledger.budget(Period.RUN, 100, run_id="run_1")
    await ledger.reserve(100)

    ledger.clock.instant = TUESDAY + timedelta(days=400)
    with pytest.raises(BudgetOnHold):
        await ledger.reserve(1)

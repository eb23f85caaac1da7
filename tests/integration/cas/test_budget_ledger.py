"""Two-phase budgets, one caller at a time."""

import pytest

from agentflow.database import Database
from agentflow.ids import new_id
from cas.errors import BudgetExceeded, BudgetInvalid, BudgetOnHold
from cas.models import Period
from tests.integration.cas.transactional_ledger import CRASHED, TUESDAY, TransactionalLedger

pytestmark = pytest.mark.integration

WINDOWS = [Period.DAILY, Period.WEEKLY, Period.MONTHLY]


async def test_money_is_held_until_the_call_is_settled_with_what_it_cost(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)

    call = await ledger.reserve(300)
    reserved = await ledger.money(budget)
    assert await ledger.settle(call, 120)

    assert (0, 300, 700) == reserved
    assert (120, 0, 880) == await ledger.money(budget)
    assert "settled" == await ledger.state(call)


async def test_the_whole_of_a_budget_can_be_reserved_and_not_one_more(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    await ledger.reserve(1_000)

    with pytest.raises(BudgetOnHold) as refusal:
        await ledger.reserve(1)

    assert (budget.budget_id, 1, "daily") == (refusal.value.budget_id, refusal.value.missing, refusal.value.scope)
    assert (0, 1_000, 0) == await ledger.money(budget)


async def test_an_organisation_without_budgets_may_spend_and_its_spending_is_posted(
    ledger: TransactionalLedger,
) -> None:
    call = await ledger.reserve(10**12)

    assert await ledger.settle(call, 5)
    assert [(call, "spend:openai/gpt-4o", 5, "usage"), (call, "funds", -5, "usage")] == await ledger.entries()
    assert [] == await ledger.statuses()


async def test_money_is_held_in_every_budget(ledger: TransactionalLedger) -> None:
    daily, monthly = await ledger.budget(Period.DAILY, 1_000), await ledger.budget(Period.MONTHLY, 9_000)
    run = await ledger.budget(Period.RUN, 500, run_id="run_1")

    call = await ledger.reserve(400)
    held = [await ledger.money(budget) for budget in (daily, monthly, run)]
    await ledger.settle(call, 100)

    assert [(0, 400, 600), (0, 400, 8_600), (0, 400, 100)] == held
    assert [(100, 0, 900), (100, 0, 8_900), (100, 0, 400)] == [
        await ledger.money(budget) for budget in (daily, monthly, run)
    ]


@pytest.mark.parametrize("tight", [0, 1, 2])
async def test_when_one_budget_refuses_none_holds_the_money(ledger: TransactionalLedger, tight: int) -> None:
    limits = [9_000, 9_000, 9_000]
    limits[tight] = 399
    budgets = [
        await ledger.budget(Period.DAILY, limits[0]),
        await ledger.budget(Period.MONTHLY, limits[1]),
        await ledger.budget(Period.RUN, limits[2], run_id="run_1"),
    ]
    call = new_id("call")

    with pytest.raises(BudgetExceeded) as refusal:
        await ledger.reserve(400, reservation_id=call)

    assert (budgets[tight].budget_id, 1) == (refusal.value.budget_id, refusal.value.missing)
    assert [(0, 0, limit) for limit in limits] == [await ledger.money(budget) for budget in budgets]
    assert not await ledger.settle(call, 400)


async def test_the_refusal_names_the_tightest_of_the_budgets_and_what_it_lacks(ledger: TransactionalLedger) -> None:
    await ledger.budget(Period.DAILY, 300)
    tightest = await ledger.budget(Period.MONTHLY, 250)
    await ledger.budget(Period.RUN, 270, run_id="run_1")
    await ledger.reserve(50)

    with pytest.raises(BudgetExceeded) as refusal:
        await ledger.reserve(900)

    assert (tightest.budget_id, "monthly", 700) == (
        refusal.value.budget_id,
        refusal.value.scope,
        refusal.value.missing,
    )


async def test_the_first_and_the_later_refusals_are_the_same(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 10)

    for _ in range(2):
        with pytest.raises(BudgetExceeded) as refusal:
            await ledger.reserve(25)
        assert (budget.budget_id, 15) == (refusal.value.budget_id, refusal.value.missing)


async def test_a_repeated_reservation_adds_no_hold(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(400)

    for ceiling in (400, 100):
        assert call == await ledger.reserve(ceiling, reservation_id=call)

    assert (0, 400, 600) == await ledger.money(budget)
    assert await ledger.settle(call, 400)
    assert (400, 0, 600) == await ledger.money(budget)


async def test_a_repeated_reservation_is_granted_though_the_first_has_left_too_little(
    ledger: TransactionalLedger,
) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(1_000)

    assert call == await ledger.reserve(1_000, reservation_id=call)
    assert (0, 1_000, 0) == await ledger.money(budget)


async def test_money_that_is_held_is_waited_for_and_money_that_is_spent_or_uncertain_is_not(
    ledger: TransactionalLedger,
) -> None:
    await ledger.budget(Period.DAILY, 1_000)
    await ledger.budget(Period.MONTHLY, 5_000)
    spent, held, unknown = await ledger.reserve(300), await ledger.reserve(300), await ledger.reserve(300)
    await ledger.settle(spent, 300)
    with pytest.raises(BudgetOnHold) as wait:
        await ledger.reserve(400)
    await ledger.mark_uncertain(unknown)

    with pytest.raises(BudgetExceeded):
        await ledger.reserve(401)
    with pytest.raises(BudgetOnHold):
        await ledger.reserve(400)
    await ledger.release(held)

    assert 300 == wait.value.missing
    assert await ledger.reserve(400)


async def test_an_ended_reservation_does_not_grant_what_the_budget_lacks(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(1_000)
    await ledger.settle(call, 900)

    with pytest.raises(BudgetExceeded):
        await ledger.reserve(1_000, reservation_id=call)

    assert (900, 0, 100) == await ledger.money(budget)


async def test_a_reservation_is_settled_once(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(300)
    await ledger.settle(call, 120)
    entries = await ledger.entries()

    assert not await ledger.settle(call, 200)
    assert not await ledger.release(call)
    await ledger.mark_uncertain(call)

    assert (120, 0, 880) == await ledger.money(budget)
    assert entries == await ledger.entries()
    assert "settled" == await ledger.state(call)


async def test_an_actual_above_the_hold_is_posted_as_an_overdraft(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(900)

    assert await ledger.settle(call, 1_250)

    assert (1_250, 0, -250) == await ledger.money(budget)
    assert [1_250, -1_250] == [amount for _, _, amount, _ in await ledger.entries()]
    with pytest.raises(BudgetExceeded) as refusal:
        await ledger.reserve(10)
    assert 260 == refusal.value.missing


async def test_a_released_reservation_gives_its_money_back_and_posts_nothing(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    call = await ledger.reserve(1_000)

    assert await ledger.release(call)
    assert not await ledger.release(call)
    assert not await ledger.settle(call, 5)

    assert (0, 0, 1_000) == await ledger.money(budget)
    assert [] == await ledger.entries()
    await ledger.reserve(1_000)


async def test_what_never_was_reserved_cannot_be_settled(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)

    assert not await ledger.settle(new_id("call"), 5)
    assert not await ledger.release(new_id("call"))

    assert (0, 0, 1_000) == await ledger.money(budget)
    assert [] == await ledger.entries()


async def test_a_crashed_holders_money_stays_held_and_is_written_off_as_spent(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    await ledger.sweep(write_off_seconds=0)
    crashed, alive = await ledger.reserve(300, lease_seconds=CRASHED), await ledger.reserve(200)

    first = await ledger.sweep()
    uncertain = (await ledger.state(crashed), await ledger.money(budget))
    second = await ledger.sweep()
    third = await ledger.sweep(write_off_seconds=0)

    assert ((1, 0), (0, 0), (0, 1)) == (first, second, third)
    assert ("uncertain", (0, 500, 500)) == uncertain
    assert ("written_off", "held") == (await ledger.state(crashed), await ledger.state(alive))
    assert (300, 200, 500) == await ledger.money(budget)
    expected = [(crashed, "spend:openai/gpt-4o", 300, "uncertain"), (crashed, "funds", -300, "uncertain")]
    assert expected == await ledger.entries()
    assert not await ledger.settle(crashed, 10)


async def test_an_uncertain_hold_can_be_settled_when_someone_knows(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 1_000)
    swept, marked = await ledger.reserve(300, lease_seconds=CRASHED), await ledger.reserve(200)
    await ledger.sweep()
    await ledger.mark_uncertain(marked)

    assert ("uncertain", "uncertain", (0, 500, 500)) == (
        await ledger.state(swept),
        await ledger.state(marked),
        await ledger.money(budget),
    )
    assert await ledger.settle(swept, 30)
    assert await ledger.release(marked)
    assert (30, 0, 970) == await ledger.money(budget)


async def test_an_uncertain_hold_is_not_written_off_before_its_lease_is_over(ledger: TransactionalLedger) -> None:
    call = await ledger.reserve(300)
    await ledger.mark_uncertain(call)

    await ledger.sweep(write_off_seconds=0)

    assert "uncertain" == await ledger.state(call)


async def test_a_sweep_writes_off_no_more_than_it_is_told(ledger: TransactionalLedger) -> None:
    await ledger.sweep(write_off_seconds=0)
    for _ in range(3):
        await ledger.reserve(10, lease_seconds=CRASHED)

    swept = [await ledger.sweep(write_off_seconds=0, limit=2) for _ in range(3)]

    assert [(3, 2), (0, 1), (0, 0)] == swept


async def test_a_sweep_accounts_for_many_holds_in_the_same_and_in_other_budgets(ledger: TransactionalLedger) -> None:
    daily = await ledger.budget(Period.DAILY, 1_000)
    runs = [await ledger.budget(Period.RUN, 1_000, run_id=f"run_{number}") for number in range(2)]
    for number, ceiling in [(0, 100), (0, 20), (1, 3)]:
        await ledger.reserve(ceiling, run_id=f"run_{number}", lease_seconds=CRASHED)

    await ledger.sweep(write_off_seconds=0)

    assert (123, 0, 877) == await ledger.money(daily)
    assert [(120, 0, 880), (3, 0, 997)] == [await ledger.money(budget) for budget in runs]
    assert [100, -100, 20, -20, 3, -3] == sorted((amount for _, _, amount, _ in await ledger.entries()), key=_largest)


async def test_the_entries_of_each_transaction_add_up_to_zero_and_keep_their_details(
    ledger: TransactionalLedger,
) -> None:
    for actual in (7, 11, 0):
        await ledger.settle(await ledger.reserve(10), actual)
    await ledger.release(await ledger.reserve(10))

    sums = await ledger.rows(
        "SELECT sum(amount_micro_usd) AS total, count(*) AS sides, min(details ->> 'price') AS price, "
        "min(run_id) AS run_id FROM ledger_entries WHERE org_id = :org_id GROUP BY transaction_id"
    )

    assert [{"total": 0, "sides": 2, "price": "p1", "run_id": "run_1"}] * 2 == [dict(row) for row in sums]


async def test_a_runs_budget_counts_the_calls_of_its_run_alone(ledger: TransactionalLedger) -> None:
    first = await ledger.budget(Period.RUN, 100, run_id="run_1")
    second = await ledger.budget(Period.RUN, 100, run_id="run_2")

    await ledger.reserve(100, run_id="run_1")
    await ledger.reserve(60, run_id="run_2")
    await ledger.reserve(10**6, run_id="run_3")
    with pytest.raises(BudgetOnHold) as refusal:
        await ledger.reserve(41, run_id="run_2")

    assert (second.budget_id, 1, "run") == (refusal.value.budget_id, refusal.value.missing, refusal.value.scope)
    assert [(0, 100, 0), (0, 60, 40)] == [await ledger.money(first), await ledger.money(second)]


async def test_a_second_budget_for_a_run_changes_nothing(ledger: TransactionalLedger) -> None:
    first = await ledger.budget(Period.RUN, 100, run_id="run_1")

    await ledger.budget(Period.RUN, 900, run_id="run_1")

    assert [first] == [status.budget for status in await ledger.statuses(run_id="run_1")]


async def test_a_budget_of_nothing_refuses_every_call_but_a_free_one(ledger: TransactionalLedger) -> None:
    budget = await ledger.budget(Period.DAILY, 0)

    with pytest.raises(BudgetExceeded) as refusal:
        await ledger.reserve(1)
    call = await ledger.reserve(0)

    assert 1 == refusal.value.missing
    assert await ledger.settle(call, 0)
    assert (0, 0, 0) == await ledger.money(budget)


@pytest.mark.parametrize(
    ("period", "limit", "run_id"),
    [(Period.DAILY, -1, None), (Period.RUN, -1, "run_1"), (Period.RUN, 100, None), (Period.MONTHLY, 100, "run_1")],
)
async def test_a_budget_that_contradicts_itself_is_refused(
    ledger: TransactionalLedger, period: Period, limit: int, run_id: str | None
) -> None:
    with pytest.raises(BudgetInvalid):
        await ledger.budget(period, limit, run_id=run_id)

    assert [] == await ledger.statuses(run_id=run_id)


async def test_one_organisation_cannot_touch_anothers_budgets_and_reservations(
    ledger: TransactionalLedger, database: Database
) -> None:
    strangers = TransactionalLedger(database, new_id("org"))
    budget, runs = await ledger.budget(Period.DAILY, 100), await ledger.budget(Period.RUN, 100, run_id="run_1")
    call = await ledger.reserve(100)

    await strangers.reserve(10**6, run_id="run_1")
    assert not await strangers.settle(call, 1)
    assert not await strangers.release(call)
    await strangers.mark_uncertain(call)

    assert [] == await strangers.statuses(run_id="run_1")
    assert [] == await strangers.entries()
    assert "held" == await ledger.state(call)
    assert [(0, 100, 0)] * 2 == [await ledger.money(budget), await ledger.money(runs)]


async def test_budgets_are_read_back_as_they_were_made_in_pages_by_id(ledger: TransactionalLedger) -> None:
    made = [await ledger.budget(period, 100) for period in WINDOWS]
    mine = await ledger.budget(Period.RUN, 100, run_id="run_1")
    by_id = sorted(made, key=lambda budget: budget.budget_id)

    first = await ledger.statuses(limit=2)
    second = await ledger.statuses(limit=2, after=first[-1].budget.budget_id)

    assert by_id == [status.budget for status in [*first, *second]]
    assert [status.budget.period.window_start(TUESDAY) for status in first] == [status.window_start for status in first]
    assert {*by_id, mine} == {status.budget for status in await ledger.statuses(run_id="run_1")}


def _largest(amount: int) -> tuple[int, int]:
    return -abs(amount), -amount

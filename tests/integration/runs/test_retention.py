"""Runs past their time go with what was theirs, and results of code that nobody is given any more."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from agentflow.clock import SystemClock
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from cas.budget_ledger import BudgetLedger
from cas.models import ReservationRequest
from observability.repository import SpanRepository
from observability.telemetry.span_record import Outcome, run_span
from runs.code_result_repository import KEPT_DAYS, CodeResultRepository, keep_statement
from runs.map_repository import MapJournal
from runs.models import ItemRecord, StepKey, StepState
from runs.repository import RunRepository
from tests.integration.runs.house import House
from tests.integration.runs.records import Journal, new_run, request

pytestmark = pytest.mark.integration


async def test_a_run_past_its_retention_goes_with_all_that_it_had_but_its_bill(
    house: House, clock: SystemClock
) -> None:
    digest = await house.put()
    run = await house.finished_run(days_ago=31, inputs_digest=digest)
    await house.put(b"document", held_by=run.run_id)
    for number in range(3):
        await Journal(house.database).record(request(house.org_id, run.run_id, f"node_{number}"))
    outcome = Outcome(started_at=clock.now(), ended_at=clock.now(), status="ok", error_type=None)
    span = run_span(org_id=house.org_id, run_id=run.run_id, name="w", version=1, budget_micro_usd=None, outcome=outcome)
    async with house.database.transaction() as session:
        await SpanRepository(session).add([span])
        await _spend(BudgetLedger(session, clock), house.org_id, run.run_id)
    bill = await house.count("ledger_entries"), await house.count("reservations")
    await house.age_blobs()

    await house.keeping(retention_days=30).remove_runs()
    await house.collect()

    assert [0, 0, 0, 0, 0] == [await house.count(table) for table in ("runs", "steps", "spans", "blob_holds", "blobs")]
    assert bill == (await house.count("ledger_entries"), await house.count("reservations"))
    assert bill[0] > 0


async def _spend(ledger: BudgetLedger, org_id: str, run_id: str) -> None:
    reservation_id = new_id("call")
    await ledger.reserve(
        ReservationRequest(
            reservation_id=reservation_id,
            org_id=org_id,
            run_id=run_id,
            provider="openai",
            model="m",
            ceiling_micro_usd=MicroUsd(100),
            lease_seconds=60,
        )
    )
    await ledger.settle(org_id=org_id, reservation_id=reservation_id, actual=MicroUsd(70), details={})


async def test_runs_that_are_younger_or_go_on_are_kept(house: House) -> None:
    await house.finished_run(days_ago=29)
    going_on = new_run(house.org_id)
    async with house.database.transaction() as session:
        await RunRepository(session).add_run(going_on, now=SystemClock().now() - timedelta(days=90))

    await house.keeping(retention_days=30).remove_runs()
    await house.keeping(retention_days=None).remove_runs()

    assert 2 == await house.count("runs")


async def test_a_run_below_another_is_kept_for_as_long_as_the_one_at_the_top(house: House) -> None:
    top = await house.finished_run(days_ago=29)
    below = await house.finished_run(days_ago=31)
    await house.execute(
        "UPDATE runs SET parent_run_id = :top, root_run_id = :top WHERE org_id = :org_id AND run_id = :below",
        top=top.run_id,
        below=below.run_id,
    )

    await house.keeping(retention_days=30).remove_runs()
    kept = await house.count("runs")
    await house.keeping(retention_days=28).remove_runs()

    assert (2, 0) == (kept, await house.count("runs"))


async def test_results_of_code_go_when_nobody_is_given_them_any_more(house: House) -> None:
    async with house.database.transaction() as session:
        for days in (1, KEPT_DAYS + 1):
            statement = keep_statement(org_id=house.org_id, request_digest=f"{days} days", output_digest="d")
            await session.execute(statement.clause, statement.parameters)
            await session.execute(
                text(
                    "UPDATE code_results SET created_at = now() - make_interval(days => :days)"
                    " WHERE org_id = :org_id AND request_digest = :digest"
                ),
                {"days": days, "org_id": house.org_id, "digest": f"{days} days"},
            )

    await house.keeping().collect_blobs()

    assert 1 == await house.count("code_results")
    async with house.database.transaction() as session:
        found = await CodeResultRepository(session).find(org_id=house.org_id, request_digest="1 days")
        others = await CodeResultRepository(session).find(org_id="org_other", request_digest="1 days")
    assert ("d", None) == (found, others)


async def test_the_maps_of_a_run_go_with_it_in_parts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.housekeeping._ROWS_AT_ONCE", 2)
    run = await house.finished_run(days_ago=31)
    key = StepKey(org_id=house.org_id, run_id=run.run_id, node_id="each")
    async with house.database.transaction() as session:
        journal = MapJournal(session)
        opened = await journal.open(key, item_count=5, pages_digest="p", is_batched=True)
        items = [ItemRecord(item_index=index, state=StepState.COMMITTED, output="1") for index in range(5)]
        await journal.copy(org_id=house.org_id, map_id=opened.map_id, records=items)
        await journal.record_output(key, output_digest="d", output_bytes=1)

    assert 1 <= await house.keeping(retention_days=30).remove_runs()

    assert [0, 0, 0, 0] == [await house.count(table) for table in ("runs", "maps", "map_items", "map_outputs")]


async def test_a_run_of_many_steps_is_removed_in_parts(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.housekeeping._ROWS_AT_ONCE", 2)
    run = await house.finished_run(days_ago=31)
    for number in range(5):
        await Journal(house.database).record(request(house.org_id, run.run_id, f"node_{number}"))

    assert 1 <= await house.keeping(retention_days=30).remove_runs()

    assert [0, 0] == [await house.count("runs"), await house.count("steps")]

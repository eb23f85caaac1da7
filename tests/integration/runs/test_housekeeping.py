"""What may go goes, what anybody needs stays, whoever comes in between."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from agentflow.blob_objects import BlobObjects, open_blob_objects
from agentflow.blobs import BlobStore, hold_statement, put_statement
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.digest import sha256_hex
from agentflow.errors import BlobNotFound
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from agentflow.settings import Settings
from agentflow.statements import Statement, execute_each
from cas.budget_ledger import BudgetLedger
from cas.models import ReservationRequest
from observability.repository import SpanRepository
from observability.telemetry.span_record import Outcome, run_span
from runs.code_result_repository import KEPT_DAYS, CodeResultRepository, keep_statement
from runs.housekeeping import Housekeeping
from runs.housekeeping_repository import BlobKey, HousekeepingRepository
from runs.map_repository import MapJournal
from runs.models import ItemRecord, NewRun, RunState, StepKey, StepOutput, StepState
from runs.repository import RunRepository
from tests.integration.runs.records import Journal, new_run, request
from tests.seaweed import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedServer

pytestmark = pytest.mark.integration

CONTENT = b"what somebody once wanted"
DIGEST = sha256_hex(CONTENT)
GRACE_HOURS = 24


class LaterClock:
    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead


class House:
    """One organisation's blobs and runs, and the housekeeping of all."""

    def __init__(self, database: Database, org_id: str, objects: BlobObjects | None = None) -> None:
        self.database, self.org_id, self.objects = database, org_id, objects
        self.store = BlobStore(database, objects, inline_bytes=0)

    def keeping(self, *, ahead: timedelta = timedelta(), retention_days: int | None = None) -> Housekeeping:
        return Housekeeping(
            self.database, self.objects, LaterClock(ahead), grace_hours=GRACE_HOURS, retention_days=retention_days
        )

    async def put(self, content: bytes = CONTENT, *, held_by: str | None = None) -> str:
        now = SystemClock().now()
        return await self.store.put(
            org_id=self.org_id, content=content, media_type="text/plain", now=now, held_by=held_by
        )

    async def age_blobs(self, hours: float = GRACE_HOURS + 1) -> None:
        """Makes all blobs of the organisation look that old."""
        await self.execute(
            "UPDATE blobs SET touched_at = touched_at - make_interval(secs => :seconds) WHERE org_id = :org_id",
            seconds=hours * 3600,
        )

    async def collect(self) -> None:
        await self.keeping().collect_blobs()

    async def has(self, digest: str = DIGEST) -> bool:
        try:
            await self.store.get(org_id=self.org_id, digest=digest)
        except BlobNotFound:
            return False
        return True

    async def finished_run(self, *, days_ago: float, **changes: str) -> NewRun:
        """A run that succeeded some days ago."""
        run = replace(new_run(self.org_id), **changes)  # type: ignore[arg-type]  # names of text columns
        async with self.database.transaction() as session:
            repository = RunRepository(session)
            await repository.add_run(run, now=SystemClock().now())
            await repository.finish_run(
                org_id=self.org_id,
                run_id=run.run_id,
                state=RunState.SUCCEEDED,
                now=SystemClock().now() - timedelta(days=days_ago),
                node_states={},
                outputs_digest=None,
                error_code=None,
                error_message=None,
                failed_node=None,
            )
        return run

    async def execute(self, statement: str, **parameters: Any) -> Sequence[Any]:
        [rows] = await self.database.fly([Statement(text(statement), {"org_id": self.org_id, **parameters})])
        return rows

    async def count(self, table: str) -> int:
        [row] = await self.execute(f"SELECT count(*) AS number FROM {table} WHERE org_id = :org_id")
        return int(row.number)


@pytest.fixture
def house(database: Database, org_id: str) -> House:
    return House(database, org_id)


@pytest.fixture(params=["file", "s3"])
def outhouse(request: pytest.FixtureRequest, database: Database, org_id: str, tmp_path: Path) -> House:
    """With its content in an object store."""
    if request.param == "file":
        settings = Settings(blob_store_url=tmp_path.as_uri())
    else:
        server: SeaweedServer = request.getfixturevalue("s3_server")
        settings = Settings(
            blob_store_url=f"s3://agentflow/{new_id('prefix')}",
            blob_s3_endpoint=server.endpoint,
            blob_s3_region="us-east-1",
            blob_s3_access_key_id=ACCESS_KEY_ID,
            blob_s3_secret_access_key=SECRET_ACCESS_KEY,
        )
    return House(database, org_id, open_blob_objects(settings))


def holding(house: House) -> Statement:
    statement = hold_statement(org_id=house.org_id, value=DIGEST, run_id="run_3")
    assert statement is not None
    return statement


async def object_count(house: House) -> int:
    assert house.objects is not None
    return sum([len(page) async for page in house.objects.pages()])


async def test_what_nothing_refers_to_is_removed_when_its_time_has_passed(house: House) -> None:
    await house.put()
    await house.collect()
    assert await house.has()

    await house.age_blobs(GRACE_HOURS - 1)
    await house.collect()
    assert await house.has()

    await house.age_blobs(2)
    await house.collect()
    assert not await house.has()


@pytest.mark.parametrize("column", ["plan_digest", "inputs_digest"])
async def test_what_a_run_was_recorded_with_is_kept(house: House, column: str) -> None:
    await house.put()
    await house.age_blobs()
    await house.finished_run(days_ago=0, **{column: DIGEST})

    await house.collect()

    assert await house.has()


async def test_the_outputs_of_a_run_are_kept(house: House) -> None:
    await house.put()
    await house.age_blobs()
    run = await house.finished_run(days_ago=0)
    await house.execute(
        "UPDATE runs SET outputs_digest = :digest WHERE run_id = :run_id", digest=DIGEST, run_id=run.run_id
    )

    await house.collect()

    assert await house.has()


async def test_the_output_of_a_step_is_kept(house: House) -> None:
    await house.put()
    await house.age_blobs()
    await Journal(house.database).record(request(house.org_id), StepOutput(digest=DIGEST, size_bytes=1, facts={}))

    await house.collect()

    assert await house.has()


async def test_what_a_run_holds_is_kept(house: House) -> None:
    await house.put(held_by="run_1")
    await house.age_blobs()

    await house.collect()

    assert await house.has()


async def test_a_document_that_inputs_name_is_kept(house: House) -> None:
    await house.put()
    held = hold_statement(org_id=house.org_id, value={"files": [{"document": DIGEST}], "n": 1}, run_id="run_2")
    assert held is not None
    await house.database.fly([held])
    await house.age_blobs()

    await house.collect()

    assert await house.has()
    assert hold_statement(org_id=house.org_id, value={"text": f"{DIGEST}!"}, run_id="run_2") is None


async def test_another_organisations_reference_keeps_nothing(house: House, database: Database) -> None:
    await house.put()
    await house.age_blobs()
    await House(database, new_id("org")).finished_run(days_ago=0, inputs_digest=DIGEST)

    await house.collect()

    assert not await house.has()


async def test_while_a_run_goes_on_nothing_is_removed_that_was_wanted_since_it_began(house: House) -> None:
    run = new_run(house.org_id)
    async with house.database.transaction() as session:
        await RunRepository(session).add_run(run, now=SystemClock().now() - timedelta(days=3))
    await house.put()
    await house.age_blobs(48)
    old = await house.put(b"older than the run")
    await house.execute(
        "UPDATE blobs SET touched_at = now() - interval '4 days' WHERE org_id = :org_id AND digest = :digest",
        digest=old,
    )

    await house.collect()

    assert (True, False) == (await house.has(), await house.has(old))


async def test_to_store_what_is_there_gives_it_its_time_again(house: House) -> None:
    await house.put()
    await house.age_blobs()

    await house.put()
    await house.collect()

    assert await house.has()


async def test_what_was_renewed_within_the_hour_is_not_written_again(house: House) -> None:
    await house.put()
    await house.age_blobs(0.5)
    [before] = await house.execute("SELECT xmin::text, xmax::text FROM blobs WHERE org_id = :org_id")

    await house.put()

    [after] = await house.execute("SELECT xmin::text, xmax::text FROM blobs WHERE org_id = :org_id")
    assert before == after


async def test_a_collection_passes_by_what_somebody_is_about_to_refer_to(house: House) -> None:
    await house.put()
    await house.age_blobs()
    stored = put_statement(
        org_id=house.org_id, digest=DIGEST, content=CONTENT, media_type="text/plain", now=SystemClock().now()
    )

    async with house.database.transaction() as session:
        await execute_each(session, [stored])
        async with asyncio.timeout(10):
            await house.collect()
        await execute_each(session, [holding(house)])

    assert await house.has()


async def test_who_stores_what_is_just_being_removed_stores_it_anew(house: House) -> None:
    await house.put()
    await house.age_blobs()

    async with house.database.transaction() as session:
        key = BlobKey(org_id=house.org_id, digest=DIGEST)
        assert 1 == len(await HousekeepingRepository(session).delete_unused([key], grace_hours=GRACE_HOURS))
        storing = asyncio.create_task(house.put(held_by="run_4"))
        await _until_somebody_waits(house)

    assert DIGEST == await storing
    assert await house.has()


async def _until_somebody_waits(house: House) -> None:
    async with asyncio.timeout(10):
        while True:
            [row] = await house.execute("SELECT count(*) AS number FROM pg_locks WHERE NOT granted")
            if row.number:
                return
            await asyncio.sleep(0.01)


async def test_in_a_race_of_writers_and_collectors_nothing_that_is_referred_to_is_lost(outhouse: House) -> None:
    contents = [b"%d" % number for number in range(12)]
    for round_number in range(2):
        await outhouse.execute("DELETE FROM blob_holds WHERE org_id = :org_id")
        for content in contents:
            await outhouse.put(content)
        await outhouse.age_blobs(48)

        await asyncio.gather(
            outhouse.collect(),
            *(outhouse.put(content, held_by=f"run_{round_number}") for content in contents[::2]),
            outhouse.collect(),
        )

        assert [True] * 6 == [await outhouse.has(sha256_hex(content)) for content in contents[::2]]
        assert [False] * 6 == [await outhouse.has(sha256_hex(content)) for content in contents[1::2]]


async def test_an_object_goes_with_its_row(outhouse: House) -> None:
    await outhouse.put()
    assert 1 == await object_count(outhouse)
    await outhouse.age_blobs()

    await outhouse.collect()

    assert 0 == await object_count(outhouse)


async def test_objects_that_no_row_names_are_removed_when_their_time_has_passed(outhouse: House) -> None:
    assert outhouse.objects is not None
    await outhouse.put()
    await outhouse.objects.write(org_id=outhouse.org_id, digest=DIGEST, content=CONTENT)
    await outhouse.objects.write(org_id=outhouse.org_id, digest=sha256_hex(b"other"), content=b"other")

    assert 0 == await outhouse.keeping().remove_stray_objects()
    assert 2 == await outhouse.keeping(ahead=timedelta(hours=GRACE_HOURS + 1)).remove_stray_objects()

    assert 1 == await object_count(outhouse)
    assert await outhouse.has()


async def test_a_store_of_another_database_is_left_alone(outhouse: House) -> None:
    assert outhouse.objects is not None
    assert "another" == await outhouse.objects.owner(claimed_by="another")
    await outhouse.objects.write(org_id=outhouse.org_id, digest=DIGEST, content=CONTENT)

    assert 0 == await outhouse.keeping(ahead=timedelta(days=9)).remove_stray_objects()

    assert 1 == await object_count(outhouse)


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


async def test_of_many_who_ask_one_has_the_turn_until_it_is_due_again(house: House) -> None:
    name = new_id("duty")
    answers = await asyncio.gather(*(house.keeping().take_turn(name, every_seconds=3600) for _ in range(8)))

    assert [True] == [answer for answer in answers if answer]
    assert not await house.keeping().take_turn(name, every_seconds=3600)
    assert await house.keeping().take_turn(name, every_seconds=0)

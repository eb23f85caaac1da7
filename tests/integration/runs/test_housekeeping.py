"""What may go goes, what anybody needs stays, whoever comes in between."""

import asyncio
from datetime import timedelta

import pytest

from agentflow.blobs import hold_statement, put_statement
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.digest import sha256_hex
from agentflow.ids import new_id
from agentflow.statements import Statement, execute_each
from runs.housekeeping_repository import BlobKey, HousekeepingRepository
from runs.models import StepOutput
from runs.repository import RunRepository
from tests.deadline import deadline
from tests.integration.runs.house import CONTENT, DIGEST, GRACE_HOURS, House
from tests.integration.runs.records import Journal, new_run, request

pytestmark = pytest.mark.integration


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
        async with deadline("a collection beside one who stores"):
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
    async with deadline("somebody to wait for a lock"):
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


async def test_of_many_who_ask_one_has_the_turn_until_it_is_due_again(house: House) -> None:
    name = new_id("duty")
    answers = await asyncio.gather(*(house.keeping().take_turn(name, every_seconds=3600) for _ in range(8)))

    assert [True] == [answer for answer in answers if answer]
    assert not await house.keeping().take_turn(name, every_seconds=3600)
    assert await house.keeping().take_turn(name, every_seconds=0)

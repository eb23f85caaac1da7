"""Events that are kept go with their run, or when their time is over; and belong to one organisation and one run."""

import pytest
from sqlalchemy import text

from agentflow.ids import new_id
from runs.event_repository import EventRepository, NewEvent
from tests.integration.runs.house import House

pytestmark = pytest.mark.integration


async def keep(house: House, run_id: str, key: str = "go", *, hours: int = 24) -> None:
    event = NewEvent(
        org_id=house.org_id, run_id=run_id, event_key=key, payload_digest="d", size_bytes=1, delivered_by="shop"
    )
    async with house.database.transaction() as session:
        await EventRepository(session).keep(event, hours=hours)


async def test_only_a_gate_of_the_same_run_organisation_and_key_takes_an_event(house: House) -> None:
    run_id, other = new_id("run"), new_id("org")
    await keep(house, run_id)

    async with house.database.transaction() as session:
        events = EventRepository(session)
        refused = [
            await events.take(org_id=org_id, run_id=run, event_key=key, gate_id=new_id("gate"))
            for org_id, run, key in (
                (other, run_id, "go"),
                (house.org_id, new_id("run"), "go"),
                (house.org_id, run_id, "come"),
            )
        ]
        taken = await events.take(org_id=house.org_id, run_id=run_id, event_key="go", gate_id=new_id("gate"))
        again = await events.take(org_id=house.org_id, run_id=run_id, event_key="go", gate_id=new_id("gate"))

    assert [None, None, None, None] == [*refused, again]
    assert taken is not None


async def test_the_housekeeper_removes_what_nobody_took_in_time(house: House) -> None:
    run_id = new_id("run")
    for key in ("taken", "late", "early"):
        await keep(house, run_id, key)
    async with house.database.transaction() as session:
        await EventRepository(session).take(
            org_id=house.org_id, run_id=run_id, event_key="taken", gate_id=new_id("gate")
        )
        late = (
            "UPDATE kept_events SET expires_at = now() - interval '1 hour' WHERE org_id = :org AND event_key <> 'early'"
        )
        await session.execute(text(late), {"org": house.org_id})

    await house.collect()

    async with house.database.transaction() as session:
        left = await session.execute(
            text("SELECT event_key FROM kept_events WHERE org_id = :org ORDER BY event_number"), {"org": house.org_id}
        )
    assert ["taken", "early"] == list(left.scalars())


async def test_a_run_that_is_removed_takes_its_events_with_it(house: House) -> None:
    run = await house.finished_run(days_ago=31)
    await keep(house, run.run_id)

    await house.keeping(retention_days=30).remove_runs()

    assert 0 == await house.count("kept_events")

"""Several statements as one transaction and one flight."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.statements import Statement

_ADD = text("INSERT INTO organisations (org_id, name, created_at) VALUES (:org_id, :name, now()) RETURNING org_id")
_COUNT = text("SELECT count(*) AS number FROM organisations WHERE org_id = ANY(:org_ids)")
_NAP = text("SELECT pg_sleep(0.3)")


def adding(org_id: str) -> Statement:
    return Statement(_ADD, {"org_id": org_id, "name": "100% of: it"})


async def count(database: Database, *org_ids: str) -> int:
    async with database.transaction() as session:
        return int((await session.execute(_COUNT, {"org_ids": list(org_ids)})).scalar_one())


async def test_each_statement_sees_what_those_before_it_did_and_all_are_committed(database: Database) -> None:
    first, second = new_id("org"), new_id("org")

    added, also, counted, asleep = await database.fly(
        [adding(first), adding(second), Statement(_COUNT, {"org_ids": [first, second]}), Statement(_NAP, {})]
    )

    assert [(first,), (second,)] == [tuple(added[0]), tuple(also[0])]
    assert 2 == counted[0].number
    assert 1 == len(asleep)
    assert 2 == await count(database, first, second)


async def test_what_is_larger_than_any_buffer_is_sent_and_answered(database: Database) -> None:
    echo = text("SELECT cast(:content AS bytea) AS content")
    contents = [bytes([number]) * 8_000_000 for number in range(2)]

    async with asyncio.timeout(30):
        answers = await database.fly([Statement(echo, {"content": content}) for content in contents])

    assert contents == [rows[0].content for rows in answers]


async def test_when_one_fails_none_has_taken_effect_and_the_error_tells_no_value(database: Database) -> None:
    first = new_id("org")

    with pytest.raises(DBAPIError) as failure:
        await database.fly([adding(first), Statement(_ADD, {"org_id": first, "name": "a secret name"})])

    assert "a secret name" not in str(failure.value)
    assert getattr(failure.value.orig, "sqlstate", None) == "23505"
    assert 0 == await count(database, first)
    assert [] != await database.fly([adding(first)])


async def test_a_flight_that_has_begun_is_finished_before_its_cancellation_arrives(database: Database) -> None:
    org_id = new_id("org")
    landed: list[bool] = []

    async def caller() -> None:
        rows = await database.fly([Statement(_NAP, {}), adding(org_id)])
        landed.append(bool(rows[1]))
        await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    while not await _is_under_way(database):
        assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [True] == landed
    assert 1 == await count(database, org_id)


async def _is_under_way(database: Database) -> bool:
    async with database.transaction() as session:
        busy = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.3)%' AND state = 'active'")
        return int((await session.execute(busy)).scalar_one()) > 1

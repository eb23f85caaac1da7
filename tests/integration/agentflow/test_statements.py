"""Several statements as one transaction and one flight."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agentflow import flight
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.statements import Statement
from tests.deadline import deadline, until
from tests.integration.agentflow.barrier import Barrier

_ADD = text("INSERT INTO organisations (org_id, name, created_at) VALUES (:org_id, :name, now()) RETURNING org_id")
_COUNT = text("SELECT count(*) AS number FROM organisations WHERE org_id = ANY(:org_ids)")


def adding(org_id: str) -> Statement:
    return Statement(_ADD, {"org_id": org_id, "name": "100% of: it"})


async def count(database: Database, *org_ids: str) -> int:
    async with database.transaction() as session:
        return int((await session.execute(_COUNT, {"org_ids": list(org_ids)})).scalar_one())


async def test_each_statement_sees_what_those_before_it_did_and_all_are_committed(database: Database) -> None:
    first, second = new_id("org"), new_id("org")

    added, also, counted, asleep = await database.fly(
        [
            adding(first),
            adding(second),
            Statement(_COUNT, {"org_ids": [first, second]}),
            Statement(text("SELECT pg_sleep(0)"), {}),
        ]
    )

    assert [(first,), (second,)] == [tuple(added[0]), tuple(also[0])]
    assert 2 == counted[0].number
    assert 1 == len(asleep)
    assert 2 == await count(database, first, second)


async def test_what_is_larger_than_any_buffer_is_sent_and_answered(database: Database) -> None:
    echo = text("SELECT cast(:content AS bytea) AS content")
    contents = [bytes([number]) * 8_000_000 for number in range(2)]

    async with deadline("16 MB to be sent and answered"):
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


async def test_a_flight_that_has_begun_is_finished_before_its_cancellation_arrives(
    database: Database, barrier: Barrier
) -> None:
    org_id = new_id("org")
    landed: list[bool] = []

    async def caller() -> None:
        rows = await database.fly([barrier.wait, adding(org_id)])
        landed.append(bool(rows[1]))
        await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await barrier.reached()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    barrier.lift()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [True] == landed
    assert 1 == await count(database, org_id)


async def test_values_come_back_as_they_went_whatever_their_type(database: Database) -> None:
    values: list[tuple[str, Any]] = [
        ("bigint", 1),
        ("bigint", 70_000),
        ("bigint", 2**40),
        ("double precision", 0.1),
        ("text", None),
        ("text", "ü \U0001f600 %s $1 :x"),
        ("boolean", True),
        ("bytea", b"\x00\xff"),
        ("text[]", ["a,b", 'c"d', "\\"]),
        ("timestamptz", datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)),
        ("jsonb", None),
    ]
    # The second time the server has prepared them.
    for _ in range(2):
        answers = await database.fly(
            [Statement(text(f"SELECT cast(:value AS {kind}) AS value"), {"value": value}) for kind, value in values]
        )

        assert [value for _, value in values] == [rows[0].value for rows in answers]


async def test_a_value_is_named_as_often_as_its_statement_likes_and_columns_as_they_like(database: Database) -> None:
    twice = text('SELECT cast(:a AS text) || cast(:b AS text) || cast(:a AS text), 1 AS "class", \'5%\' AS "a b"')

    [[row]] = await database.fly([Statement(twice, {"b": "-", "a": "x"})])

    assert ("x-x", 1, "5%") == tuple(row)


async def test_statements_beyond_those_that_a_connection_keeps_prepared_fly_as_well(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight, "_MAX_PREPARED", 1)

    for _ in range(2):
        answers = await database.fly([Statement(text(f"SELECT {number} AS n"), {}) for number in range(5)])
        assert [0, 1, 2, 3, 4] == [rows[0].n for rows in answers]


async def test_a_flight_whose_statement_does_not_parse_leaves_the_connection_in_order(database: Database) -> None:
    org_id, wrong = new_id("org"), Statement(text("SELECT nothing FROM nowhere"), {})
    for _ in range(30):
        with pytest.raises(DBAPIError) as failure:
            await database.fly([adding(org_id), wrong, adding(org_id)])
        assert getattr(failure.value.orig, "sqlstate", None) == "42P01"

    assert 0 == await count(database, org_id)
    assert [] != (await database.fly([adding(org_id)]))[0]


async def test_a_time_limit_around_a_flight_is_told_as_one(database: Database, barrier: Barrier) -> None:
    org_id = new_id("org")

    async def caller() -> None:
        await database.fly([barrier.wait, adding(org_id)])
        await asyncio.Event().wait()

    task = asyncio.create_task(caller())

    async def has_been_told() -> int:
        return task.cancelling()

    limited = asyncio.create_task(asyncio.wait_for(task, 0.05))
    await barrier.reached()
    await until(has_been_told, "the time limit to be over")
    barrier.lift()

    with pytest.raises(TimeoutError):
        await limited

    assert 1 == await count(database, org_id)

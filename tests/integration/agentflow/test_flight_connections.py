"""The connections that flights use, and what can happen to them."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agentflow.database import Database, is_database_away
from agentflow.ids import new_id
from agentflow.statements import Statement
from tests.deadline import deadline, until
from tests.integration.agentflow.barrier import Barrier

_ADD = text("INSERT INTO organisations (org_id, name, created_at) VALUES (:org_id, 'x', now()) RETURNING org_id")
_COUNT = text("SELECT count(*) AS number FROM organisations WHERE org_id = ANY(:org_ids)")
_ONE = Statement(text("SELECT 1 AS n"), {})


def adding(org_id: str) -> Statement:
    return Statement(_ADD, {"org_id": org_id})


def sql(statement: str) -> Statement:
    return Statement(text(statement), {})


@pytest.fixture
async def single(database_url: str) -> AsyncIterator[Database]:
    """A database with one connection for flights."""
    database = Database(database_url, pool_size=1)
    yield database
    await database.close()


async def is_kept(database: Database, *org_ids: str) -> bool:
    [[row]] = await database.fly([Statement(_COUNT, {"org_ids": list(org_ids)})])
    return bool(row.number == len(org_ids))


async def test_a_connection_that_has_forgotten_what_it_had_prepared_learns_it_again(database: Database) -> None:
    org_ids = [new_id("org") for _ in range(3)]
    for org_id in org_ids:
        added, counted = await database.fly([adding(org_id), Statement(_COUNT, {"org_ids": [org_id]})])
        assert (org_id, 1) == (added[0].org_id, counted[0].number)
        await database.fly([sql("DEALLOCATE ALL")])

    assert await is_kept(database, *org_ids)


async def test_a_connection_that_was_lost_is_not_used_again(database: Database) -> None:
    end = Statement(text("SELECT pg_terminate_backend(pg_backend_pid())"), {})

    for _ in range(3):
        with pytest.raises(DBAPIError) as failure:
            await database.fly([adding(new_id("org")), end])
        assert is_database_away(failure.value)
        assert 1 == (await database.fly([_ONE]))[0][0].n


async def test_when_one_connection_is_lost_the_idle_ones_are_not_tried_after_it(
    database: Database, barrier: Barrier
) -> None:
    flights = asyncio.gather(*(database.fly([barrier.wait]) for _ in range(3)))
    pids = await barrier.reached(3)
    barrier.lift()
    await flights
    async with database.transaction() as session:
        ended = await session.execute(
            text("SELECT pg_terminate_backend(pid, 60000) AS is_ended FROM unnest(CAST(:pids AS integer[])) AS pid"),
            {"pids": pids},
        )
        assert [True] * 3 == [row.is_ended for row in ended]

    with pytest.raises(DBAPIError) as failure:
        await database.fly([_ONE])

    assert is_database_away(failure.value)
    assert 1 == (await database.fly([_ONE]))[0][0].n


async def test_flights_share_the_connections_that_there_are(single: Database) -> None:
    async with deadline("twenty flights on one connection"):
        answers = await asyncio.gather(*(single.fly([sql("SELECT pg_backend_pid() AS pid")]) for _ in range(20)))

    assert 1 == len({rows[0].pid for [rows] in answers})


async def test_a_table_that_was_changed_is_read_as_it_is_now(single: Database) -> None:
    name = new_id("t")
    await single.fly([sql(f"CREATE TEMP TABLE {name} (a integer)"), sql(f"INSERT INTO {name} VALUES (1)")])
    assert 1 == (await single.fly([sql(f"SELECT a FROM {name}")]))[0][0].a

    await single.fly([sql(f"ALTER TABLE {name} ALTER COLUMN a TYPE text")])

    for _ in range(2):
        assert "1" == (await single.fly([sql(f"SELECT a FROM {name}")]))[0][0].a


async def test_what_a_failed_flight_had_prepared_is_known_to_the_next(single: Database) -> None:
    statement = f"SELECT 1 AS {new_id('n')}"
    with pytest.raises(DBAPIError):
        await single.fly([sql(statement), sql("SELECT 1 / 0")])

    _, [row] = await single.fly(
        [
            sql(statement),
            Statement(
                text("SELECT count(*) AS n FROM pg_prepared_statements WHERE statement = :sql"), {"sql": statement}
            ),
        ]
    )

    assert 1 == row.n


async def test_a_statement_is_never_taken_for_another_whoever_has_prepared_it(
    database_url: str, single: Database
) -> None:
    """As behind a proxy that gives the same session to two processes in turn."""
    other = Database(database_url, pool_size=1)
    try:
        await single.fly([sql("SELECT 'ours' AS whose")])
        await other.fly([sql("SELECT 'theirs' AS whose")])
        async with single._flights.one() as ours, other._flights.one() as theirs:
            ours._driver, theirs._driver = theirs._driver, ours._driver

        for _ in range(2):
            assert "ours" == (await single.fly([sql("SELECT 'ours' AS whose")]))[0][0].whose
            assert "theirs" == (await single.fly([sql("SELECT 'theirs' AS whose")]))[0][0].whose
    finally:
        await other.close()


@pytest.mark.parametrize("has_connection", [True, False], ids=["waits for its turn", "connects"])
async def test_a_flight_that_waits_for_a_connection_is_finished_before_its_cancellation_arrives(
    single: Database, barrier: Barrier, has_connection: bool
) -> None:
    org_id = new_id("org")
    before: list[asyncio.Task[Any]] = []
    if has_connection:
        before = [asyncio.create_task(single.fly([barrier.wait])) for _ in range(2)]
        await barrier.reached()

    flight = asyncio.create_task(single.fly([adding(org_id)]))
    await asyncio.sleep(0)
    flight.cancel()
    barrier.lift()
    with pytest.raises(asyncio.CancelledError):
        await flight

    await asyncio.gather(*before)
    assert await is_kept(single, org_id)


async def test_a_caller_that_is_cancelled_again_and_again_lets_its_flight_land(
    single: Database, barrier: Barrier
) -> None:
    org_id = new_id("org")
    flight = asyncio.create_task(single.fly([barrier.wait, adding(org_id)]))
    await asyncio.sleep(0)

    for _ in range(100):
        assert flight.cancel()
        await asyncio.sleep(0)
    await barrier.reached()
    barrier.lift()
    async with deadline("the flight to land"):
        while not flight.done():
            flight.cancel()
            await asyncio.sleep(0)

    assert await is_kept(single, org_id)


async def test_of_a_time_limit_and_a_cancellation_the_cancellation_is_not_lost(
    single: Database, barrier: Barrier
) -> None:
    async def caller() -> None:
        async with asyncio.timeout(0):
            await single.fly([barrier.wait])
            await asyncio.Event().wait()

    async def has_told() -> int:
        return task.cancelling()

    task = asyncio.create_task(caller())
    await until(has_told, "the time limit to tell of itself")
    # The flight goes on.
    assert (1, False) == (task.cancelling(), task.done())
    task.cancel()
    barrier.lift()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"D" + struct.pack("!I", 0x7FFFFFFF) + b"xx",
        b"1" + struct.pack("!I", 2) + b"xx",
        b"",
    ],
    ids=["another protocol", "no length that memory has", "no length at all", "nothing"],
)
async def test_what_no_server_would_answer_ends_the_flight(answer: bytes) -> None:
    async with _impostor(answer) as port:
        database = Database(f"postgresql://u@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable")
        async with deadline("the flight to end"):
            with pytest.raises(DBAPIError) as failure:
                await database.fly([_ONE])
        await database.close()

    assert is_database_away(failure.value)


async def test_a_copy_is_refused_and_its_connection_given_up(single: Database) -> None:
    async with deadline("the flight to end"):
        with pytest.raises(DBAPIError, match="COPY does not fly"):
            await single.fly([sql("COPY organisations TO STDOUT")])

    assert 1 == (await single.fly([_ONE]))[0][0].n


async def test_a_flight_that_lands_after_the_end_leaves_no_connection_behind(
    database_url: str, database: Database, barrier: Barrier
) -> None:
    ended = Database(database_url, pool_size=1)
    await ended.fly([_ONE])
    flight = asyncio.create_task(ended.fly([barrier.wait]))
    await barrier.reached()

    await ended.close()
    assert not flight.done()
    barrier.lift()

    [[row]] = await flight
    alive = Statement(text("SELECT count(*) AS n FROM pg_stat_activity WHERE pid = :pid"), {"pid": row.pid})

    async def has_gone() -> bool:
        return not (await database.fly([alive]))[0][0].n

    await until(has_gone, "the connection of a flight that has landed to go")


@asynccontextmanager
async def _impostor(answer: bytes) -> AsyncIterator[int]:
    """The port of something that lets anybody in, as PostgreSQL would, and then says `answer`."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!I", len(body) + 4) + body

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(struct.unpack("!I", await reader.readexactly(4))[0] - 4)
        writer.write(
            message(b"R", struct.pack("!I", 0))
            + message(b"S", b"server_version\x0018.0\x00")
            + message(b"S", b"client_encoding\x00UTF8\x00")
            + message(b"Z", b"I")
        )
        await reader.read(65_536)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()

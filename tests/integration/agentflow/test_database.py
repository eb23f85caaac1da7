import socket

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from agentflow.clock import SystemClock
from agentflow.database import Database

pytestmark = pytest.mark.integration

_ADD = text("INSERT INTO organisations (org_id, name, created_at) VALUES (:org_id, :name, :now)")
_COUNT = text("SELECT count(*) FROM organisations WHERE org_id = :org_id")


async def rows_of(database: Database, org_id: str) -> int:
    async with database.transaction() as session:
        return int((await session.execute(_COUNT, {"org_id": org_id})).scalar_one())


async def test_a_transaction_is_committed_when_its_block_ends(
    database: Database, clock: SystemClock, org_id: str
) -> None:
    async with database.transaction() as session:
        await session.execute(_ADD, {"org_id": org_id, "name": "one", "now": clock.now()})
        assert await rows_of(database, org_id) == 0

    assert await rows_of(database, org_id) == 1


async def test_a_transaction_is_rolled_back_when_its_block_raises(
    database: Database, clock: SystemClock, org_id: str
) -> None:
    async def fail_after_writing() -> None:
        async with database.transaction() as session:
            await session.execute(_ADD, {"org_id": org_id, "name": "one", "now": clock.now()})
            raise LookupError("inside")

    with pytest.raises(LookupError, match="inside"):
        await fail_after_writing()

    assert await rows_of(database, org_id) == 0


async def test_an_error_of_the_database_does_not_quote_parameters(database: Database) -> None:
    with pytest.raises(DBAPIError) as failure:
        async with database.transaction() as session:
            await session.execute(text("SELECT cast(:prompt AS integer) / 0"), {"prompt": 12345})

    assert "12345" not in str(failure.value)


async def test_instants_come_back_aware_and_equal(database: Database, clock: SystemClock, org_id: str) -> None:
    now = clock.now()
    async with database.transaction() as session:
        await session.execute(_ADD, {"org_id": org_id, "name": "one", "now": now})
        stored = await session.execute(
            text("SELECT created_at FROM organisations WHERE org_id = :org_id"), {"org_id": org_id}
        )

    assert now == stored.scalar_one()


async def test_a_database_that_is_there_answers(database: Database) -> None:
    await database.ping()


async def test_a_database_that_is_not_there_fails_the_ping() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        absent = Database(f"postgresql://me@127.0.0.1:{taken.getsockname()[1]}/flow")

        with pytest.raises(OperationalError):
            await absent.ping()
        await absent.close()


async def test_the_server_sees_who_is_connected(database: Database) -> None:
    async with database.transaction() as session:
        name = (await session.execute(text("SELECT current_setting('application_name')"))).scalar_one()

    assert name == "agentflow"

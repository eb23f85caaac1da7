"""Makes flights last as long as a test wants, whatever else the machine does."""

import asyncio

from sqlalchemy import text

from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.statements import Statement
from tests.deadline import until


class Barrier:
    """A lock of the database that flights wait for, so that they last as long as a test wants."""

    def __init__(self, database: Database) -> None:
        self._database, self._key = database, int(new_id("x")[-15:], 16)
        self._lifted = asyncio.Event()

    @property
    def wait(self) -> Statement:
        """Does not land before the barrier is lifted."""
        return Statement(text("SELECT pg_backend_pid() AS pid, pg_advisory_xact_lock_shared(:key)"), {"key": self._key})

    def lift(self) -> None:
        self._lifted.set()

    async def reached(self, count: int = 1) -> list[int]:
        """The backends of the flights that wait, once there are so many."""

        async def look() -> list[int]:
            async with self._database.transaction() as session:
                held = """
                    SELECT pid FROM pg_locks
                    WHERE locktype = 'advisory' AND NOT granted AND (classid::bigint << 32) + objid::bigint = :key
                """
                pids = [int(row.pid) for row in await session.execute(text(held), {"key": self._key})]
            return pids if len(pids) >= count else []

        return await until(look, f"{count} flights to wait at the barrier")

    async def stand(self, is_up: asyncio.Event) -> None:
        async with self._database.transaction() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._key})
            is_up.set()
            await self._lifted.wait()

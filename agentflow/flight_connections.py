"""The connections that flights use: few, the latest used first, opened when they are needed.

They are not of the transactions' pool, whose way in and out costs a short flight a sixth of its time. The one that was
used last is the one whose server process has its plans and pages at hand. `psycopg_pool` goes round its connections
instead, and looks for a server that has gone at ever longer intervals, in which nobody hears why they wait.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agentflow.flight import FlightConnection

_TIMEOUT_SECONDS = 30.0


class FlightConnections:
    """At most so many connections, each used by one flight at a time."""

    def __init__(self, connect: Callable[[], Awaitable[psycopg.AsyncConnection[Any]]], *, most: int) -> None:
        self._connect, self._places = connect, asyncio.Semaphore(most)
        self._idle: list[FlightConnection] = []
        self._is_closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[FlightConnection]:
        """A connection for one flight.

        Raises psycopg.OperationalError when the server cannot be reached, and SQLAlchemy's TimeoutError when every
        connection has been in use for half a minute.
        """
        await self._take_place()
        try:
            connection = self._idle.pop() if self._idle else FlightConnection(await self._connect())
            try:
                yield connection
            finally:
                if connection.is_lost:
                    # Whatever has ended it, a restart or a network, has most likely ended the others, too.
                    await self._end([connection, *self._take_idle()])
                elif connection.is_usable and not self._is_closed:
                    self._idle.append(connection)
                else:
                    await self._end([connection])
        finally:
            self._places.release()

    async def close(self) -> None:
        """Closes those that no flight uses, and the others when they have landed."""
        self._is_closed = True
        await self._end(self._take_idle())

    async def _take_place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no connection for a flight came free within {_TIMEOUT_SECONDS:g} s") from None

    def _take_idle(self) -> list[FlightConnection]:
        idle, self._idle = self._idle, []
        return idle

    @staticmethod
    async def _end(connections: Sequence[FlightConnection]) -> None:
        for connection in connections:
            await connection.close()

"""The one way to PostgreSQL: a pool, and transactions that end where the request or the activity ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from agentflow.errors import ConfigurationError
from agentflow.flight_connections import FlightConnections
from agentflow.statements import Rows, Statement


def with_psycopg_driver(database_url: str) -> str:
    """`database_url` naming the driver that is installed; any `postgresql://` URL is accepted.

    Raises ConfigurationError for a URL of another database and for what is no URL.
    """
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "DATABASE_URL is not a URL; set postgresql://user@host:5432/agentflow, with special characters %-encoded"
        ) from None  # The cause may quote the password.
    if url.get_backend_name() != "postgresql":
        raise ConfigurationError(
            f"DATABASE_URL names {url.get_backend_name()!r}; AgentFlow stores its data in PostgreSQL: "
            "set postgresql://user@host:5432/agentflow"
        )
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


#: A connection whose other end is gone without a word is given up after seconds, not after the kernel's quarter hour.
_CONNECTION = {
    "application_name": "agentflow",
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


#: The server is shutting down, starting up, or was told to end this session; it has no connection left; the connection
#: broke (PostgreSQL manual, appendix A, classes 57, 53 and 08); it has ended a session for idling or taking too long.
_AWAY_CLASSES = ("57", "53", "08", "25P03", "25P04")


def is_database_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached, and not that it refused something."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        # A connection that is gone has no SQLSTATE of its own.
        state = getattr(error.orig, "sqlstate", None)
        is_operational = isinstance(error.orig, psycopg.OperationalError | psycopg.InterfaceError)
        return is_operational and (state is None or str(state).startswith(_AWAY_CLASSES))
    return isinstance(error, PoolTimeout)


def _told(error: psycopg.Error, *, is_lost: bool) -> DBAPIError:
    """As SQLAlchemy would tell it; without the statement, whose parameters are documents."""
    return DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=is_lost)


class Database:
    """Connections; every use of one is one transaction."""

    def __init__(self, database_url: str, *, pool_size: int = 10) -> None:
        self._engine = create_async_engine(
            with_psycopg_driver(database_url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=30,
            # Errors are logged, and parameters are documents, prompts and keys.
            hide_parameters=True,
            connect_args=_CONNECTION,
        )
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False, autoflush=False)
        self._flights = FlightConnections(self._connect, most=pool_size)

    @property
    def engine(self) -> AsyncEngine:
        """The pool, for what needs a connection of its own (migrations, LISTEN)."""
        return self._engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises.

        It takes a connection with its first statement: what comes before may use transactions of its own.
        """
        async with self._sessions() as session, session.begin():
            yield session

    async def fly(self, statements: Sequence[Statement]) -> list[Rows]:
        """All of `statements` as one transaction in one flight, committed; the rows of each.

        Raises DBAPIError, and SQLAlchemy's TimeoutError when no connection came free, as a transaction does.

        What has begun is finished, the wait for a connection included: a cancellation of the caller arrives right after
        it, so that the caller knows what was committed.
        """
        flight, cancellation = asyncio.ensure_future(self._fly(statements)), None
        while not flight.done():
            try:
                await asyncio.wait([flight])
            except asyncio.CancelledError as error:
                cancellation = error
        caller = asyncio.current_task()
        if cancellation is not None and caller is not None:
            # Once more, and not one more: timeouts count them.
            caller.uncancel()
            caller.cancel(*cancellation.args)
        return flight.result()

    async def _fly(self, statements: Sequence[Statement]) -> list[Rows]:
        try:
            async with self._flights.one() as connection:
                try:
                    return await connection.fly(statements)
                except psycopg.Error as error:
                    raise _told(error, is_lost=connection.is_lost) from error
        except psycopg.Error as error:
            # No connection was to be had.
            raise _told(error, is_lost=True) from error

    async def ping(self) -> None:
        """Asks the server for one row; raises what the driver raises when there is none."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Closes the pool's connections."""
        await self._flights.close()
        await self._engine.dispose()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """A connection as the pool would make it."""
        _, options = self._engine.dialect.create_connect_args(self._engine.url)
        return await psycopg.AsyncConnection.connect(**{**options, **_CONNECTION}, autocommit=True)

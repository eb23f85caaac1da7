"""Statements as values, so that several, of several domains, can be one flight to the database and one commit.

PostgreSQL's pipeline mode (psycopg 3, `Connection.pipeline`) sends statements without waiting for each other's
results. A step's closing transaction is seven statements: one by one they take twice as long as together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn
from psycopg.rows import namedtuple_row
from psycopg.waiting import Ready, Wait
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

#: One statement's rows; columns by attribute.
Rows = list[Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `:names`, and the values for them."""

    clause: TextClause
    parameters: Mapping[str, Any]


async def execute_each(session: AsyncSession, statements: Sequence[Statement]) -> None:
    """Executes one after the other inside the session's transaction."""
    for statement in statements:
        await session.execute(statement.clause, statement.parameters)


async def send_together(session: AsyncSession, statements: Sequence[Statement]) -> list[Rows]:
    """Sends all in one flight, the session's commit along with them, and returns the rows of each.

    Raises DBAPIError for the first that fails; none has taken effect then, unless the connection was lost with the
    acknowledgement.
    """
    connection = await session.connection()
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError("statements can be sent together over psycopg connections only")
    try:
        async with driver.pipeline():
            cursors = [driver.cursor(row_factory=namedtuple_row) for _ in statements]
            for cursor, statement in zip(cursors, statements, strict=True):
                await cursor.execute(_driver_sql(statement.clause), statement.parameters)
                await _flush(driver)
            await driver.commit()
            await _flush(driver)
        return [await cursor.fetchall() if cursor.description is not None else [] for cursor in cursors]
    except psycopg.Error as error:
        # Without the statement, whose parameters are documents.
        raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=driver.closed) from error


async def _flush(driver: psycopg.AsyncConnection[Any]) -> None:
    """Sends what the socket did not take at once; left to itself, the driver would wait for an answer to half of it."""
    if driver.pgconn.flush():
        await driver.wait(_flushing(driver.pgconn))


def _flushing(pgconn: PGconn) -> PQGen[None]:
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()


@lru_cache(maxsize=256)
def _driver_sql(clause: TextClause) -> bytes:
    """The statement in the driver's own placeholders; clauses are constants of their modules, so this is done once."""
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it without annotations
    return str(clause.compile(dialect=dialect)).encode()

"""Several statements as one flight to the database and one commit.

PostgreSQL's pipeline mode (libpq manual, "Pipeline Mode") takes statements without waiting for each other's results.
All up to a synchronisation point are one transaction, which the point itself commits. A step's closing transaction is
five to seven statements: they leave in one write, and their results are waited for once.
"""

import asyncio
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import (
    DuplicatePreparedStatement,
    FeatureNotSupported,
    InvalidSqlStatementName,
    error_from_result,
)
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.base import PGDialect

from agentflow.digest import sha256_hex
from agentflow.statements import Rows, Statement

#: Statements are constants of their modules, each with the few types that its values come in.
_MAX_PREPARED = 512

_Result = TypeVar("_Result")


_COPYING = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})

#: What the server has prepared is not what we think: another session (by a proxy), or a table that was changed since.
_OUT_OF_STEP = (InvalidSqlStatementName, DuplicatePreparedStatement, FeatureNotSupported)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A statement as it is sent."""

    #: Under which it is prepared; None for what never is.
    name: bytes | None
    sql: bytes
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format]


#: All that the server has prepared.
_FORGET = _Bound(None, b"DEALLOCATE ALL", (), (), ())


class FlightConnection:
    """A connection that nothing but flights uses, and what its server has prepared for them."""

    def __init__(self, driver: psycopg.AsyncConnection[Any]) -> None:
        self._driver, self._transformer = driver, Transformer(driver)
        #: By their names.
        self._prepared: set[bytes] = set()

    @property
    def is_usable(self) -> bool:
        """Whether another flight can begin."""
        return self._driver.pgconn.transaction_status == TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        """Whether there is no server at its other end any more."""
        return self._driver.pgconn.status == ConnStatus.BAD

    async def fly(self, statements: Sequence[Statement]) -> list[Rows]:
        """Sends all in one flight, and returns the rows of each, committed.

        Raises psycopg.Error for the first that fails; none has taken effect then, unless the connection was lost with
        the acknowledgement. Whoever cancels it ends the connection.
        """
        bound = [self._bind(statement) for statement in statements]
        try:
            results = await self._landed(self._flown(bound))
        except _OUT_OF_STEP:
            # Nothing is done yet: all of it was one transaction.
            self._prepared.clear()
            _, *results = await self._landed(self._flown([_FORGET, *bound]))
        return [_rows(self._transformer, result) for result in results]

    async def close(self) -> None:
        """Ends the connection, a broken one too."""
        await self._driver.close()

    def _bind(self, statement: Statement) -> _Bound:
        sql, names = _driver_sql(statement.clause)
        values = [statement.parameters[name] for name in names]
        dumped = self._transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types = tuple(self._transformer.types or ())
        return _Bound(_name(sql, types), sql, dumped, types, list(self._transformer.formats or ()))

    def _flown(self, bound: Sequence[_Bound]) -> PQGen[list[PGresult]]:
        pgconn = self._driver.pgconn
        pgconn.enter_pipeline_mode()
        #: Of each command, the name that it prepares, if it does.
        preparing: list[bytes | None] = []
        fresh = set[bytes]()
        for each in bound:
            name = each.name
            if name is not None and name not in self._prepared and name not in fresh:
                if len(self._prepared) + len(fresh) < _MAX_PREPARED:
                    pgconn.send_prepare(name, each.sql, each.types)
                    preparing.append(name)
                    fresh.add(name)
                else:
                    name = None
            if name is None:
                pgconn.send_query_params(each.sql, each.values, each.types, each.formats)
            else:
                pgconn.send_query_prepared(name, each.values, each.formats)
            preparing.append(None)
        pgconn.pipeline_sync()
        answered = yield from self._answers()
        pgconn.exit_pipeline_mode()
        answers = list(zip(preparing, answered, strict=True))
        # They stay, whatever becomes of the flight.
        self._prepared.update(
            name for name, result in answers if name is not None and result.status == ExecStatus.COMMAND_OK
        )
        failed = next((result for result in answered if result.status == ExecStatus.FATAL_ERROR), None)
        if failed is not None:
            raise error_from_result(failed, encoding=self._driver.info.encoding)
        return [result for name, result in answers if name is None]

    def _answers(self) -> PQGen[list[PGresult]]:
        """The result of each command, up to the synchronisation point."""
        pgconn, results = self._driver.pgconn, list[PGresult]()
        while True:
            # What the socket did not take at once is sent while answers come in.
            is_unsent = bool(pgconn.flush())
            ready = yield Wait.RW if is_unsent else Wait.R
            if not ready & Ready.R:
                continue
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None and pgconn.status == ConnStatus.BAD:
                    # libpq has given the connection up by itself: what came was no answer of a server's.
                    raise psycopg.OperationalError(pgconn.get_error_message(self._driver.info.encoding))
                # Nothing stands between two commands.
                if result is None:
                    continue
                if result.status in _COPYING:
                    raise psycopg.NotSupportedError("COPY does not fly")
                if result.status == ExecStatus.PIPELINE_SYNC:
                    return results
                results.append(result)

    async def _landed(self, flight: PQGen[_Result]) -> _Result:
        try:
            wanted = next(flight)
            while True:
                wanted = flight.send(await self._ready(wanted))
        except StopIteration as landed:
            result: _Result = landed.value
            return result

    async def _ready(self, wanted: Wait) -> Ready:
        """Waits until the socket is ready for something that is wanted."""
        loop, socket = asyncio.get_running_loop(), self._driver.pgconn.socket
        woken: asyncio.Future[Ready] = loop.create_future()
        loop.add_reader(socket, _wake, woken, Ready.R)
        if wanted & Wait.W:
            loop.add_writer(socket, _wake, woken, Ready.W)
        try:
            return await woken
        finally:
            loop.remove_reader(socket)
            if wanted & Wait.W:
                loop.remove_writer(socket)


def _wake(woken: asyncio.Future[Ready], ready: Ready) -> None:
    if not woken.done():
        woken.set_result(ready)


def _rows(transformer: Any, result: PGresult) -> Rows:
    if result.status != ExecStatus.TUPLES_OK or not result.ntuples:
        return []
    transformer.set_pgresult(result)
    names = tuple((result.fname(column) or b"").decode() for column in range(result.nfields))
    rows: Rows = transformer.load_rows(0, result.ntuples, _row_maker(names))
    return rows


@lru_cache(maxsize=512)
def _row_maker(names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    # Names that are none in Python, such as `?column?`, are those of no column that is read.
    row: Any = namedtuple("Row", list(names), rename=True)  # type: ignore[misc]  # noqa: PYI024  # made of columns
    make: Callable[[Sequence[Any]], Any] = row._make
    return make


@lru_cache(maxsize=1024)
def _name(sql: bytes, types: tuple[int, ...]) -> bytes:
    """A statement's name: what it says, so that nobody else's statement has it, whoever's session it is."""
    return b"flight_" + sha256_hex(repr((sql, types)).encode())[:32].encode()


@lru_cache(maxsize=512)
def _driver_sql(clause: TextClause) -> tuple[bytes, tuple[str, ...]]:
    """The statement with numbered places, and whose they are; clauses are constants, so this is done once for each."""
    dialect = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it unannotated
    compiled = clause.compile(dialect=dialect)
    return str(compiled).encode(), tuple(compiled.positiontup or ())

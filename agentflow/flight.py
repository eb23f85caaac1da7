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
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.base import PGDialect

from agentflow.statements import Rows, Statement

#: Statements are constants of their modules, each with the few types that its values come in.
_MAX_PREPARED = 512

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Bound:
    """A statement as it is sent."""

    sql: bytes
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format]


class FlightConnection:
    """A connection that nothing but flights uses, and what its server has prepared for them."""

    def __init__(self, driver: psycopg.AsyncConnection[Any]) -> None:
        self._driver, self._transformer = driver, Transformer(driver)
        #: SQL and types → name.
        self._prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        #: A name is given once, whatever came of the flight that brought it.
        self._given = 0

    @property
    def is_usable(self) -> bool:
        """Whether another flight can begin."""
        return self._driver.pgconn.transaction_status == TransactionStatus.IDLE

    async def fly(self, statements: Sequence[Statement]) -> list[Rows]:
        """Sends all in one flight, and returns the rows of each, committed.

        Raises psycopg.Error for the first that fails; none has taken effect then, unless the connection was lost with
        the acknowledgement. A flight that has begun is finished: a cancellation of the caller arrives right after it,
        so that the caller knows what was committed.
        """
        bound = [self._bind(statement) for statement in statements]
        try:
            results = await self._landed(self._flown(bound))
        except InvalidSqlStatementName:
            # Someone between here and the server has given us another session; nothing is done yet.
            self._prepared.clear()
            results = await self._landed(self._flown(bound))
        return [_rows(self._transformer, result) for result in results]

    async def close(self) -> None:
        """Ends the connection, a broken one too."""
        await self._driver.close()

    def _bind(self, statement: Statement) -> _Bound:
        sql, names = _driver_sql(statement.clause)
        values = [statement.parameters[name] for name in names]
        dumped = self._transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        return _Bound(sql, dumped, tuple(self._transformer.types or ()), list(self._transformer.formats or ()))

    def _flown(self, bound: Sequence[_Bound]) -> PQGen[list[PGresult]]:
        pgconn, fresh = self._driver.pgconn, dict[tuple[bytes, tuple[int, ...]], bytes]()
        pgconn.enter_pipeline_mode()
        wanted: list[bool] = []
        for each in bound:
            key = (each.sql, each.types)
            name = self._prepared.get(key) or fresh.get(key)
            if name is None and len(self._prepared) + len(fresh) < _MAX_PREPARED:
                name = fresh[key] = self._new_name()
                pgconn.send_prepare(name, each.sql, each.types)
                wanted.append(False)
            if name is None:
                pgconn.send_query_params(each.sql, each.values, each.types, each.formats)
            else:
                pgconn.send_query_prepared(name, each.values, each.formats)
            wanted.append(True)
        pgconn.pipeline_sync()
        answered = yield from self._answers()
        pgconn.exit_pipeline_mode()
        failed = next((result for result in answered if result.status == ExecStatus.FATAL_ERROR), None)
        if failed is not None:
            raise error_from_result(failed, encoding=self._driver.info.encoding)
        self._prepared |= fresh
        return [result for result, is_wanted in zip(answered, wanted, strict=True) if is_wanted]

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
                # Nothing stands between two commands.
                if result is None:
                    continue
                if result.status == ExecStatus.PIPELINE_SYNC:
                    return results
                results.append(result)

    async def _landed(self, flight: PQGen[_Result]) -> _Result:
        """What the flight gives, whatever is asked of the caller meanwhile."""
        caller, cancellations = asyncio.current_task(), 0
        try:
            wanted = next(flight)
            while True:
                try:
                    ready = await self._ready(wanted)
                except asyncio.CancelledError:
                    cancellations += 1
                    continue
                wanted = flight.send(ready)
        except StopIteration as landed:
            result: _Result = landed.value
            return result
        finally:
            if cancellations and caller is not None:
                for _ in range(cancellations):
                    caller.uncancel()
                caller.cancel()

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

    def _new_name(self) -> bytes:
        self._given += 1
        return b"flight_%d" % self._given


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


@lru_cache(maxsize=512)
def _driver_sql(clause: TextClause) -> tuple[bytes, tuple[str, ...]]:
    """The statement with numbered places, and whose they are; clauses are constants, so this is done once for each."""
    dialect = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it unannotated
    compiled = clause.compile(dialect=dialect)
    return str(compiled).encode(), tuple(compiled.positiontup or ())

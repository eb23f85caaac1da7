"""Several statements as one flight to the database and one commit.

PostgreSQL's pipeline mode (libpq manual, "Pipeline Mode") takes statements without waiting for each other's results.
All up to a synchronisation point are one transaction, which the point itself commits. A step's closing transaction is
five to seven statements: they leave in one write, and their results are waited for once.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

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


@dataclass(frozen=True, slots=True)
class _Bound:
    """A statement as it is sent."""

    sql: bytes
    values: Sequence[Buffer | None]
    types: tuple[int, ...]
    formats: Sequence[Format]


@dataclass(slots=True)
class _Prepared:
    """What a connection's server has prepared for it."""

    names: dict[tuple[bytes, tuple[int, ...]], bytes] = field(default_factory=dict)
    #: A name is given once, whatever came of the flight that brought it.
    given: int = 0

    def new_name(self) -> bytes:
        self.given += 1
        return b"flight_%d" % self.given


_PREPARED: WeakKeyDictionary[psycopg.AsyncConnection[Any], _Prepared] = WeakKeyDictionary()


async def fly(connection: psycopg.AsyncConnection[Any], statements: Sequence[Statement]) -> list[Rows]:
    """Sends all in one flight over a connection without a transaction, and returns the rows of each, committed.

    Raises psycopg.Error for the first that fails; none has taken effect then, unless the connection was lost with the
    acknowledgement. A connection that is not `idle` afterwards is of no further use.
    """
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        raise ValueError("a flight needs a connection that is in no transaction")
    transformer = Transformer(connection)
    bound = [_bind(connection, statement) for statement in statements]
    prepared = _PREPARED.setdefault(connection, _Prepared())
    async with connection.lock:
        try:
            results = await connection.wait(_flown(connection, bound, prepared))
        except InvalidSqlStatementName:
            # After a rollback the driver has the server forget what it has prepared, ours as well; nothing is done yet.
            prepared.names.clear()
            results = await connection.wait(_flown(connection, bound, prepared))
    return [_rows(transformer, result) for result in results]


def _bind(connection: psycopg.AsyncConnection[Any], statement: Statement) -> _Bound:
    sql, names = _driver_sql(statement.clause)
    # One for each: it keeps the types of the values that it was given.
    transformer = Transformer(connection)
    values = transformer.dump_sequence([statement.parameters[name] for name in names], [PyFormat.AUTO] * len(names))
    return _Bound(sql, values, tuple(transformer.types or ()), list(transformer.formats or ()))


def _flown(
    connection: psycopg.AsyncConnection[Any], bound: Sequence[_Bound], prepared: _Prepared
) -> PQGen[list[PGresult]]:
    pgconn, fresh = connection.pgconn, dict[tuple[bytes, tuple[int, ...]], bytes]()
    pgconn.enter_pipeline_mode()
    wanted: list[bool] = []
    for each in bound:
        key = (each.sql, each.types)
        name = prepared.names.get(key) or fresh.get(key)
        if name is None and len(prepared.names) + len(fresh) < _MAX_PREPARED:
            name = fresh[key] = prepared.new_name()
            pgconn.send_prepare(name, each.sql, each.types)
            wanted.append(False)
        if name is None:
            pgconn.send_query_params(each.sql, each.values, each.types, each.formats)
        else:
            pgconn.send_query_prepared(name, each.values, each.formats)
        wanted.append(True)
    pgconn.pipeline_sync()
    answered = yield from _answers(connection)
    pgconn.exit_pipeline_mode()
    failed = next((result for result in answered if result.status == ExecStatus.FATAL_ERROR), None)
    if failed is not None:
        raise error_from_result(failed, encoding=connection.info.encoding)
    prepared.names |= fresh
    return [result for result, is_wanted in zip(answered, wanted, strict=True) if is_wanted]


def _answers(connection: psycopg.AsyncConnection[Any]) -> PQGen[list[PGresult]]:
    """The result of each command, up to the synchronisation point."""
    pgconn, results = connection.pgconn, list[PGresult]()
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


def _rows(transformer: Any, result: PGresult) -> Rows:
    if result.status != ExecStatus.TUPLES_OK:
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

"""Spans in PostgreSQL: written in one round trip whatever their number, read by run."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import Json
from agentflow.statements import Statement
from agentflow.storable_text import storable_text
from observability.telemetry.span_record import SpanRecord

#: Column → its type.
_COLUMNS = {
    "org_id": "varchar",
    "trace_id": "varchar",
    "span_id": "varchar",
    "run_id": "varchar",
    "parent_span_id": "varchar",
    "name": "varchar",
    "kind": "varchar",
    "node_id": "varchar",
    "item_index": "integer",
    "attempt": "integer",
    "status": "varchar",
    "error_type": "varchar",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "attributes": "jsonb",
}
_KEY = ("org_id", "trace_id", "span_id")

_ADD = text(f"""
    INSERT INTO spans ({", ".join(_COLUMNS)})
    SELECT * FROM jsonb_to_recordset(cast(:spans AS jsonb))
               AS span ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEY)}
""")  # Made of the constants above.
_OF_RUN = text("""
    SELECT * FROM spans WHERE org_id = :org_id AND run_id = :run_id
    ORDER BY started_at, span_id LIMIT :limit
""")

_DELETE_OF_RUNS = text("""
    DELETE FROM spans WHERE (org_id, trace_id, span_id) IN (
        SELECT org_id, trace_id, span_id FROM spans
        WHERE (org_id, run_id) IN (SELECT * FROM unnest(cast(:org_ids AS varchar[]), cast(:run_ids AS varchar[])))
        LIMIT :limit
    )
    RETURNING 1
""")


def add_statement(spans: Sequence[SpanRecord]) -> Statement:
    """Stores `spans`; a span that is stored already is replaced."""
    # One statement may touch a row once only, and rows in one order keep two writers from a deadlock.
    latest = {(span.org_id, span.trace_id, span.span_id): span for span in spans}
    rows = [_row(latest[key]) for key in sorted(latest)]
    # As one value: an array for each column would cost more than all the rest of a step's closing statements.
    return Statement(_ADD, {"spans": json.dumps(rows, separators=(",", ":"), allow_nan=False)})


class SpanRepository:
    """Writes and reads inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, spans: Sequence[SpanRecord]) -> None:
        """Stores `spans` in one statement; a span that is stored already is replaced."""
        if spans:
            statement = add_statement(spans)
            await self._session.execute(statement.clause, statement.parameters)

    async def of_run(self, *, org_id: str, run_id: str, limit: int) -> tuple[SpanRecord, ...]:
        """The spans of a run by their start, at most `limit` of them; empty for another organisation's run."""
        parameters = {"org_id": org_id, "run_id": run_id, "limit": limit}
        rows = await self._session.execute(_OF_RUN, parameters)
        return tuple(_span(row) for row in rows)

    async def delete_of_runs(self, runs: Sequence[tuple[str, str]], *, limit: int) -> int:
        """Deletes at most `limit` spans of runs, given by organisation and run id, and returns how many."""
        parameters = {"org_ids": [org_id for org_id, _ in runs], "run_ids": [run_id for _, run_id in runs]}
        return len((await self._session.execute(_DELETE_OF_RUNS, {**parameters, "limit": limit})).all())


def _row(span: SpanRecord) -> dict[str, Any]:
    return {
        "org_id": span.org_id,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "run_id": span.run_id,
        "parent_span_id": span.parent_span_id,
        "name": storable_text(span.name),
        "kind": span.kind,
        "node_id": span.node_id,
        "item_index": span.item_index,
        "attempt": span.attempt,
        "status": span.status,
        "error_type": storable_text(span.error_type) if span.error_type is not None else None,
        "started_at": span.started_at.isoformat(),
        "ended_at": span.ended_at.isoformat(),
        "attributes": _storable(span.attributes),
    }


def _storable(value: Json) -> Json:
    """`value` with storable strings, and with strings in place of the numbers that JSON lacks."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {storable_text(key): _storable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_storable(item) for item in value]
    return value


def _span(row: Row[Any]) -> SpanRecord:
    return SpanRecord(
        org_id=row.org_id,
        run_id=row.run_id,
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_span_id=row.parent_span_id,
        name=row.name,
        kind=row.kind,
        node_id=row.node_id,
        item_index=row.item_index,
        attempt=row.attempt,
        status=row.status,
        error_type=row.error_type,
        started_at=row.started_at,
        ended_at=row.ended_at,
        attributes=row.attributes,
    )

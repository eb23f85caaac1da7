import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, event
from sqlmodel import SQLModel

from agentflow.database import Database
from agentflow.digest import Json
from observability import tables
from observability.repository import SpanRepository
from observability.telemetry.span_record import SpanRecord, step_span
from tests.unit.observability.sample_run import SampleRun, outcome


@contextmanager
def _statements(database: Database) -> Iterator[list[str]]:
    """The statements that are sent inside the block; a batch of them counts as many."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        sent.extend([statement] * (len(parameters) if many else 1))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def _stored(database: Database, run: SampleRun, limit: int = 100) -> tuple[SpanRecord, ...]:
    async with database.transaction() as session:
        return await SpanRepository(session).of_run(org_id=run.org_id, run_id=run.run_id, limit=limit)


async def test_spans_come_back_as_they_were_by_their_start(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    spans = run.spans()

    async with database.transaction() as session:
        await SpanRepository(session).add(spans)

    assert tuple(sorted(spans, key=lambda span: (span.started_at, span.span_id))) == await _stored(database, run)


async def test_adding_takes_one_statement_whatever_the_number(database: Database, org_id: str) -> None:
    spans = SampleRun(org_id).spans()

    async with database.transaction() as session:
        with _statements(database) as sent:
            await SpanRepository(session).add(spans[:2])
            await SpanRepository(session).add(spans)

    assert len(sent) == 2


async def test_adding_nothing_takes_no_statement(database: Database) -> None:
    async with database.transaction() as session:
        with _statements(database) as sent:
            await SpanRepository(session).add([])

    assert sent == []


async def test_a_span_that_comes_again_replaces_itself(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    first = step_span(run.step("ingest"), kind="tool", outcome=outcome(0, 5, "error", "Timeout"))
    again = step_span(run.step("ingest"), kind="tool", outcome=outcome(0, 9))

    async with database.transaction() as session:
        await SpanRepository(session).add([first])
    async with database.transaction() as session:
        await SpanRepository(session).add([first, again])

    assert (again,) == await _stored(database, run)


async def test_another_organisation_sees_nothing(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    async with database.transaction() as session:
        await SpanRepository(session).add(run.spans())

    async with database.transaction() as session:
        seen = await SpanRepository(session).of_run(org_id=f"{org_id}x", run_id=run.run_id, limit=100)

    assert seen == ()


async def test_the_limit_keeps_the_earliest(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    async with database.transaction() as session:
        await SpanRepository(session).add(run.spans())

    kept = await _stored(database, run, limit=2)

    assert {"invoke_workflow analysis", "step ingest"} == {span.name for span in kept}


async def test_what_postgresql_cannot_hold_is_replaced(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    awkward: dict[str, Json] = {
        "id": "a\x00b",
        "list": ["\ud800", 'quote " and \\ and {,}'],
        "number": math.inf,
        "nested": {"k\x00": "é"},
    }
    span = step_span(run.step("ingest"), kind="tool", outcome=outcome(0, 5), attributes=awkward)

    async with database.transaction() as session:
        await SpanRepository(session).add([replace(span, name="odd\x00\ud800", error_type="E\x00")])

    (stored,) = await _stored(database, run)
    assert (stored.name, stored.error_type) == ("odd�?", "E�")
    assert tuple(stored.attributes[key] for key in ("id", "number", "nested")) == ("a�b", "inf", {"k�": "é"})
    assert stored.attributes["list"] == ["?", 'quote " and \\ and {,}']


async def test_writers_of_the_same_spans_do_not_deadlock(database: Database, org_id: str) -> None:
    run = SampleRun(org_id)
    spans = [step_span(run.step(f"n{place}"), kind="tool", outcome=outcome(0, 1)) for place in range(200)]

    async def write(batch: list[SpanRecord]) -> None:
        async with database.transaction() as session:
            await SpanRepository(session).add(batch)

    await asyncio.gather(*(write(spans if turn % 2 else spans[::-1]) for turn in range(8)))

    assert len(await _stored(database, run, limit=1_000)) == 200


async def test_the_migration_makes_the_table_that_the_model_declares(database: Database) -> None:
    declared = MetaData()
    SQLModel.metadata.tables["spans"].to_metadata(declared)

    def differences(connection: Connection) -> list[Any]:
        options = {
            "compare_type": True,
            "include_name": lambda name, kind, _parents: kind != "table" or name == tables.SpanRow.__tablename__,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), declared))

    async with database.engine.connect() as connection:
        found = await connection.run_sync(differences)

    assert found == []

"""The journal of maps: what a map goes over, which of its items are done, and how the whole of it counts up.

Items that are worked on in batches stand here, written in bulk; items that are steps of their own stand in the
effect journal. Batched work is pure, so it needs no claim: the first record of an item stays, and whoever comes
second finds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from runs.models import Failure, ItemRecord, MapState, StepKey, StepState

_OPEN = text("""
    INSERT INTO maps (org_id, run_id, node_id, generation, item_count, pages_digest, is_batched, opened_at)
    VALUES (:org_id, :run_id, :node_id, :generation, :item_count, :pages_digest, :is_batched, now())
    ON CONFLICT (org_id, run_id, node_id, generation) DO UPDATE SET org_id = excluded.org_id
    RETURNING *
""")
_LIST = text("""
    SELECT maps.*, items.done, items.missed, first.item_index AS first_index, first.error_code, first.error_message
    FROM maps
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE state = 'committed') AS done, count(*) FILTER (WHERE state = 'failed') AS missed
        FROM map_items WHERE map_items.map_id = maps.map_id AND map_items.org_id = maps.org_id
    ) AS items ON maps.is_batched AND maps.closed_at IS NULL
    LEFT JOIN LATERAL (
        SELECT item_index, error_code, error_message FROM map_items
        WHERE map_items.map_id = maps.map_id AND map_items.org_id = maps.org_id AND state = 'failed'
        ORDER BY item_index LIMIT 1
    ) AS first ON maps.is_batched AND coalesce(maps.failed, items.missed, 0) > 0
    WHERE maps.org_id = :org_id AND maps.run_id = :run_id ORDER BY maps.map_id
""")
_DONE = text("""
    SELECT item_index, state FROM map_items
    WHERE org_id = :org_id AND map_id = :map_id AND item_index >= :first AND item_index < :stop
""")
_TALLY = text("""
    SELECT count(*) FILTER (WHERE state = 'committed') AS succeeded,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           (array_agg(error_code ORDER BY item_index) FILTER (WHERE state = 'failed'))[1] AS error_code,
           (array_agg('item ' || item_index || ': ' || error_message ORDER BY item_index)
               FILTER (WHERE state = 'failed'))[1] AS error_message
    FROM map_items
    WHERE org_id = :org_id AND map_id = :map_id AND item_index >= :first AND item_index < :stop
""")
_ADD = text("""
    INSERT INTO map_items (org_id, map_id, item_index, state, output, output_digest, error_code, error_message)
    VALUES (:org_id, :map_id, :item_index, :state, :output, :output_digest, :error_code, :error_message)
    ON CONFLICT (map_id, item_index) DO NOTHING
""")
_COPY = """
    COPY map_items (org_id, map_id, item_index, state, output, output_digest, error_code, error_message) FROM STDIN
"""
_BATCHED_RESULTS = text("""
    SELECT item_index, state, output, output_digest FROM map_items
    WHERE org_id = :org_id AND map_id = :map_id AND item_index >= :first AND item_index < :stop
    ORDER BY item_index
""")
_STEP_RESULTS = text("""
    SELECT item_index, state, NULL AS output, output_digest FROM steps
    WHERE org_id = :org_id AND run_id = :run_id AND node_id = :node_id AND generation = :generation
      AND item_index >= :first AND item_index < :stop
    ORDER BY item_index
""")
#: The pages are made where the items are: none of their content travels.
_PAGE_BLOBS = text("""
    WITH pages AS (
        SELECT wanted.item_index / :page_items AS page,
               convert_to('[' || string_agg(coalesce(output, 'null'), ',' ORDER BY wanted.item_index) || ']', 'UTF8')
                   AS content,
               count(state) AS items, count(*) FILTER (WHERE state = 'failed') AS missed
        FROM generate_series(cast(:first AS integer), cast(:stop AS integer) - 1) AS wanted (item_index)
        LEFT JOIN map_items ON map_items.org_id = :org_id AND map_items.map_id = :map_id
                           AND map_items.item_index = wanted.item_index
        GROUP BY 1
    ),
    stored AS (
        INSERT INTO blobs (org_id, digest, media_type, size_bytes, content, created_at, touched_at)
        SELECT DISTINCT ON (sha256(content)) :org_id, encode(sha256(content), 'hex'), :media_type,
               octet_length(content), content, now(), now()
        FROM pages
        ON CONFLICT (org_id, digest) DO UPDATE SET touched_at = now()
    ),
    held AS (
        INSERT INTO blob_holds (org_id, digest, run_id)
        SELECT DISTINCT :org_id, encode(sha256(content), 'hex'), :run_id FROM pages
        ON CONFLICT DO NOTHING
    )
    SELECT page, encode(sha256(content), 'hex') AS digest, octet_length(content) AS size_bytes, items, missed
    FROM pages ORDER BY page
""")
_BATCHED_BYTES = text("""
    SELECT coalesce(sum(coalesce(octet_length(items.output), blobs.size_bytes)), 0)::bigint AS size_bytes
    FROM map_items AS items LEFT JOIN blobs ON blobs.org_id = items.org_id AND blobs.digest = items.output_digest
    WHERE items.org_id = :org_id AND items.map_id = :map_id
""")
_STEP_BYTES = text("""
    SELECT coalesce(sum(output_bytes), 0)::bigint AS size_bytes FROM steps
    WHERE org_id = :org_id AND run_id = :run_id AND node_id = :node_id AND generation = :generation
      AND item_index IS NOT NULL AND part IS NULL
""")
_HAS_BLOBS = text("""
    SELECT EXISTS (
        SELECT FROM map_items WHERE org_id = :org_id AND map_id = :map_id AND output_digest IS NOT NULL
    )
""")
_CLOSE = text("""
    UPDATE maps SET closed_at = coalesce(closed_at, now()), succeeded = :succeeded, failed = :failed
    WHERE org_id = :org_id AND map_id = :map_id
""")
_RECORD_OUTPUT = text("""
    INSERT INTO map_outputs (org_id, run_id, node_id, generation, output_digest, output_bytes)
    VALUES (:org_id, :run_id, :node_id, :generation, :output_digest, :output_bytes)
    ON CONFLICT (org_id, run_id, node_id, generation) DO NOTHING
""")
_OUTPUTS = text("""
    SELECT DISTINCT ON (node_id) node_id, output_digest FROM map_outputs
    WHERE org_id = :org_id AND run_id = :run_id ORDER BY node_id, generation DESC
""")
#: Items that another run has finished, of a map over the very same list.
_TAKE_OVER = text("""
    INSERT INTO map_items (org_id, map_id, item_index, state, output, output_digest)
    SELECT items.org_id, :map_id, items.item_index, items.state, items.output, items.output_digest
    FROM maps JOIN map_items AS items USING (org_id, map_id)
    WHERE maps.org_id = :org_id AND maps.run_id = :earlier_run_id AND maps.node_id = :node_id
      AND maps.generation = :generation AND maps.pages_digest = :pages_digest AND items.state = 'committed'
    ON CONFLICT (map_id, item_index) DO NOTHING
""")
_HOLD_ITEMS = text("""
    INSERT INTO blob_holds (org_id, digest, run_id)
    SELECT DISTINCT org_id, output_digest, :run_id FROM map_items
    WHERE org_id = :org_id AND map_id = :map_id AND output_digest IS NOT NULL
    ON CONFLICT DO NOTHING
""")
#: Characters that COPY's text format gives a meaning (PostgreSQL manual, COPY, "Text Format").
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMap:
    """A map as it was opened."""

    map_id: int
    item_count: int
    pages_digest: str
    is_batched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPage:
    """A page of results that the database made of its items."""

    digest: str
    size_bytes: int
    items: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTally:
    """How a range of batched items counts up."""

    succeeded: int
    failed: int
    #: Of the first that failed.
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What is recorded of an item."""

    item_index: int
    state: StepState
    #: Canonical JSON, or None when it is a blob or there is none.
    output: str | None = field(repr=False)
    output_digest: str | None


class MapJournal:
    """Opens, fills, reads and closes maps inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def open(self, key: StepKey, *, item_count: int, pages_digest: str, is_batched: bool) -> OpenMap:
        """Records what a map goes over; the record that is there already stays, and is given back."""
        parameters = {
            **_of(key),
            "item_count": item_count,
            "pages_digest": pages_digest,
            "is_batched": is_batched,
        }
        row = (await self._session.execute(_OPEN, parameters)).one()
        return OpenMap(
            map_id=row.map_id,
            item_count=row.item_count,
            pages_digest=row.pages_digest,
            is_batched=row.is_batched,
        )

    async def maps_of(self, *, org_id: str, run_id: str) -> list[MapState]:
        """The maps of a run, in the order in which they were opened."""
        rows = await self._session.execute(_LIST, {"org_id": org_id, "run_id": run_id})
        return [_map_state(row) for row in rows]

    async def recorded(self, *, org_id: str, map_id: int, items: range) -> dict[int, StepState]:
        """Item index → state of the batched items of a range that are recorded."""
        rows = await self._session.execute(_DONE, _range(org_id, map_id, items))
        return {row.item_index: StepState(row.state) for row in rows}

    async def copy(self, *, org_id: str, map_id: int, records: Sequence[ItemRecord]) -> bool:
        """Records items in bulk; False, with the transaction unusable, when one of them is recorded already."""
        connection = await self._session.connection()
        driver = (await connection.get_raw_connection()).driver_connection
        if not isinstance(driver, psycopg.AsyncConnection):
            raise TypeError("items can be copied over psycopg connections only")
        try:
            async with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
                await copy.write("".join([_copy_line(org_id, map_id, record) for record in records]).encode())
        except psycopg.errors.UniqueViolation:
            return False
        except psycopg.Error as error:
            # Without the statement, whose data are documents.
            raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=driver.closed) from error
        return True

    async def add(self, *, org_id: str, map_id: int, records: Sequence[ItemRecord]) -> None:
        """Records items one by one; those that are recorded already stay as they are."""
        rows = [
            {
                "org_id": org_id,
                "map_id": map_id,
                "item_index": record.item_index,
                "state": record.state.value,
                "output": record.output,
                "output_digest": record.output_digest,
                "error_code": record.error_code,
                "error_message": record.error_message,
            }
            for record in records
        ]
        await self._session.execute(_ADD, rows)

    async def tally(self, *, org_id: str, map_id: int, items: range) -> ItemTally:
        """How the recorded items of a range ended."""
        row = (await self._session.execute(_TALLY, _range(org_id, map_id, items))).one()
        return ItemTally(
            succeeded=row.succeeded,
            failed=row.failed,
            error_code=row.error_code,
            error_message=row.error_message,
        )

    async def results(self, key: StepKey, *, map_id: int, is_batched: bool, items: range) -> list[ItemResult]:
        """What is recorded of a range of items, in order."""
        parameters = {**_range(key.org_id, map_id, items)}
        if not is_batched:
            parameters = {**_of(key), "first": items.start, "stop": items.stop}
        rows = await self._session.execute(_BATCHED_RESULTS if is_batched else _STEP_RESULTS, parameters)
        return [
            ItemResult(
                item_index=row.item_index,
                state=StepState(row.state),
                output=row.output,
                output_digest=row.output_digest,
            )
            for row in rows
        ]

    async def store_pages(
        self, *, org_id: str, run_id: str, map_id: int, page_items: int, items: range, media_type: str
    ) -> list[StoredPage]:
        """Makes blobs of a range of batched items, a page each, failed ones as null; `items` begins with a page.

        The run holds them: no column is going to name them.
        """
        parameters = {
            **_range(org_id, map_id, items),
            "run_id": run_id,
            "page_items": page_items,
            "media_type": media_type,
        }
        rows = await self._session.execute(_PAGE_BLOBS, parameters)
        return [
            StoredPage(digest=row.digest, size_bytes=row.size_bytes, items=row.items, failed=row.missed) for row in rows
        ]

    async def result_bytes(self, key: StepKey, *, map_id: int, is_batched: bool) -> int:
        """How large the results of all items are, together."""
        statement = _BATCHED_BYTES if is_batched else _STEP_BYTES
        return int((await self._session.execute(statement, {**_of(key), "map_id": map_id})).scalar_one())

    async def has_blobs(self, *, org_id: str, map_id: int) -> bool:
        """Whether an output of a batched item is a blob of its own."""
        return bool((await self._session.execute(_HAS_BLOBS, {"org_id": org_id, "map_id": map_id})).scalar_one())

    async def close(self, *, org_id: str, map_id: int, succeeded: int, failed: int) -> None:
        """Records how many items of a map succeeded, and how many did not."""
        parameters = {"org_id": org_id, "map_id": map_id, "succeeded": succeeded, "failed": failed}
        await self._session.execute(_CLOSE, parameters)

    async def take_over(self, key: StepKey, *, opened: OpenMap, earlier_run_id: str) -> None:
        """Takes the finished items of an earlier run's map over the same list for this map's own."""
        parameters = {
            **_of(key),
            "map_id": opened.map_id,
            "pages_digest": opened.pages_digest,
            "earlier_run_id": earlier_run_id,
        }
        await self._session.execute(_TAKE_OVER, parameters)
        # The earlier run may be removed one day; its items' outputs are this run's too.
        held = {"org_id": key.org_id, "run_id": key.run_id, "map_id": opened.map_id}
        await self._session.execute(_HOLD_ITEMS, held)

    async def record_output(self, key: StepKey, *, output_digest: str, output_bytes: int) -> None:
        """Records the gathered output of a map, long or short."""
        parameters = {**_of(key), "output_digest": output_digest, "output_bytes": output_bytes}
        await self._session.execute(_RECORD_OUTPUT, parameters)

    async def outputs_of(self, *, org_id: str, run_id: str) -> dict[str, str]:
        """Node id → digest of the output, for the maps of a run that are complete."""
        rows = await self._session.execute(_OUTPUTS, {"org_id": org_id, "run_id": run_id})
        return {row.node_id: row.output_digest for row in rows}


def _of(key: StepKey) -> dict[str, Any]:
    return {"org_id": key.org_id, "run_id": key.run_id, "node_id": key.node_id, "generation": key.generation}


def _range(org_id: str, map_id: int, items: range) -> dict[str, Any]:
    return {"org_id": org_id, "map_id": map_id, "first": items.start, "stop": items.stop}


def _copy_line(org_id: str, map_id: int, record: ItemRecord) -> str:
    fields = (record.output, record.output_digest, record.error_code, record.error_message)
    texts = "\t".join(["\\N" if value is None else value.translate(_COPY_ESCAPES) for value in fields])
    return f"{org_id}\t{map_id}\t{record.item_index}\t{record.state.value}\t{texts}\n"


def _map_state(row: Row[Any]) -> MapState:
    started: datetime = row.opened_at
    first = None
    if row.first_index is not None:
        first = Failure(item_index=row.first_index, error_code=row.error_code, error_message=row.error_message)
    return MapState(
        map_id=row.map_id,
        node_id=row.node_id,
        generation=row.generation,
        item_count=row.item_count,
        is_batched=row.is_batched,
        succeeded=row.succeeded if row.succeeded is not None else row.done or 0,
        failed=row.failed if row.failed is not None else row.missed or 0,
        opened_at=started,
        closed_at=row.closed_at,
        first_failed=first,
    )

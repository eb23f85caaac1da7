"""SQL of housekeeping: which blobs nothing refers to, which runs are past their time, and whose turn it is.

No lock is waited for and none is kept long: each statement takes a page, passes by what others have locked, and is
committed before the next.

A blob that is deleted is one that nobody refers to and nobody has asked to store for the time of grace. Whoever refers
to one has asked to store it in the same transaction, or shortly before; that renews it, under a lock that a deletion
passes by. Two kinds of references are in no row that can be looked up: a run that goes on may have digests in its
history alone, so nothing is deleted that was asked for since the oldest such run of the organisation began; and a
digest inside other content has a row in `blob_holds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_TAKE_TURN = text("""
    INSERT INTO housekeeping_turns AS turn (name, taken_at) VALUES (:name, now())
    ON CONFLICT (name) DO UPDATE SET taken_at = excluded.taken_at
    WHERE turn.taken_at < now() - make_interval(secs => :every_seconds)
    RETURNING name
""")
_DATABASE_ID = text("SELECT database_id FROM database_identity")

#: Two hours, because what was renewed within the hour is not renewed again.
_UNFINISHED = """
    unfinished AS MATERIALIZED (
        SELECT org_id, min(created_at) - interval '2 hours' AS since FROM runs
        WHERE state IN ('submitted', 'running') GROUP BY org_id
    )
"""
_IS_UNUSED = """
    (blobs.touched_at < now() - make_interval(hours => :grace_hours)
     AND (unfinished.since IS NULL OR blobs.touched_at < unfinished.since)
     AND NOT EXISTS (SELECT 1 FROM steps WHERE output_digest = blobs.digest AND org_id = blobs.org_id)
     AND NOT EXISTS (SELECT 1 FROM runs WHERE plan_digest = blobs.digest AND org_id = blobs.org_id)
     AND NOT EXISTS (SELECT 1 FROM runs WHERE inputs_digest = blobs.digest AND org_id = blobs.org_id)
     AND NOT EXISTS (SELECT 1 FROM runs WHERE outputs_digest = blobs.digest AND org_id = blobs.org_id)
     AND NOT EXISTS (SELECT 1 FROM gates WHERE subject_digest = blobs.digest AND org_id = blobs.org_id)
     AND NOT EXISTS (SELECT 1 FROM blob_holds WHERE digest = blobs.digest AND org_id = blobs.org_id))
"""
_PAGE = text(f"""
    WITH {_UNFINISHED}, page AS (
        SELECT org_id, digest, touched_at FROM blobs
        WHERE (org_id, digest) > (:after_org_id, :after_digest) ORDER BY org_id, digest LIMIT :limit
    )
    SELECT blobs.org_id, blobs.digest, {_IS_UNUSED} AS is_unused
    FROM page AS blobs LEFT JOIN unfinished USING (org_id) ORDER BY blobs.org_id, blobs.digest
""")
_DELETE_UNUSED = text(f"""
    WITH {_UNFINISHED}, unused AS (
        SELECT blobs.org_id, blobs.digest
        FROM blobs JOIN unnest(cast(:org_ids AS varchar[]), cast(:digests AS varchar[])) AS wanted (org_id, digest)
             ON blobs.org_id = wanted.org_id AND blobs.digest = wanted.digest
             LEFT JOIN unfinished ON unfinished.org_id = blobs.org_id
        WHERE {_IS_UNUSED}
        ORDER BY blobs.org_id, blobs.digest FOR UPDATE OF blobs SKIP LOCKED
    )
    DELETE FROM blobs USING unused WHERE blobs.org_id = unused.org_id AND blobs.digest = unused.digest
    RETURNING blobs.org_id, blobs.location, blobs.size_bytes
""")
_KNOWN_LOCATIONS = text("""
    SELECT location FROM blobs
    JOIN unnest(cast(:org_ids AS varchar[]), cast(:digests AS varchar[])) AS wanted (org_id, digest)
      ON blobs.org_id = wanted.org_id AND blobs.digest = wanted.digest
    WHERE location IS NOT NULL
""")

#: A run below another goes with the one at the top, whose cost is also what those below it have cost.
_EXPIRED_RUNS = text("""
    SELECT org_id, run_id FROM runs WHERE finished_at < now() - make_interval(days => :days)
      AND NOT EXISTS (
          SELECT FROM runs AS top WHERE top.org_id = runs.org_id AND top.run_id = runs.root_run_id
            AND (top.finished_at IS NULL OR top.finished_at >= now() - make_interval(days => :days))
      )
    ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_OF_RUNS = "(org_id, run_id) IN (SELECT * FROM unnest(cast(:org_ids AS varchar[]), cast(:run_ids AS varchar[])))"
_DELETE_STEPS = text(f"""
    DELETE FROM steps WHERE effect_key IN (SELECT effect_key FROM steps WHERE {_OF_RUNS} LIMIT :limit)
    RETURNING 1
""")
_DELETE_EXCHANGES = text(f"""
    DELETE FROM step_exchanges WHERE (org_id, exchange_id) IN (
        SELECT org_id, exchange_id FROM step_exchanges WHERE {_OF_RUNS} LIMIT :limit
    )
    RETURNING 1
""")
_DELETE_ITEMS = text(f"""
    DELETE FROM map_items WHERE (map_id, item_index) IN (
        SELECT map_id, item_index FROM map_items WHERE map_id IN (SELECT map_id FROM maps WHERE {_OF_RUNS})
        LIMIT :limit
    )
    RETURNING 1
""")
_DELETE_MAPS = text(f"DELETE FROM maps WHERE {_OF_RUNS}")
_DELETE_MAP_OUTPUTS = text(f"DELETE FROM map_outputs WHERE {_OF_RUNS}")
_DELETE_GATES = text(f"DELETE FROM gates WHERE {_OF_RUNS}")
_DELETE_EVENTS = text(f"DELETE FROM kept_events WHERE {_OF_RUNS}")
_DELETE_HOLDS = text(f"DELETE FROM blob_holds WHERE {_OF_RUNS}")
_DELETE_RUNS = text(f"DELETE FROM runs WHERE {_OF_RUNS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobKey:
    """A blob of an organisation."""

    org_id: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPage:
    """Some blobs, in the order of their keys."""

    unused: tuple[BlobKey, ...]
    #: Where the next page begins; None after the last.
    after: BlobKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedBlob:
    """What is left to do about a blob whose row is gone."""

    size_bytes: int
    #: Its object, when it had one.
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """A run of an organisation."""

    org_id: str
    run_id: str


class HousekeepingRepository:
    """Looks for what may go, and deletes it, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def take_turn(self, name: str, *, every_seconds: float) -> bool:
        """Whether it is time for this kind of work again; of many who ask at once, one is told so."""
        parameters = {"name": name, "every_seconds": every_seconds}
        return (await self._session.execute(_TAKE_TURN, parameters)).first() is not None

    async def database_id(self) -> str:
        """What tells this database from every other."""
        database_id: str = (await self._session.execute(_DATABASE_ID)).scalar_one()
        return database_id

    async def blob_page(self, *, after: BlobKey, grace_hours: int, limit: int) -> BlobPage:
        """The blobs after a key, and which of them seem to be unused."""
        parameters = {
            "after_org_id": after.org_id,
            "after_digest": after.digest,
            "grace_hours": grace_hours,
            "limit": limit,
        }
        rows = (await self._session.execute(_PAGE, parameters)).all()
        last = BlobKey(org_id=rows[-1].org_id, digest=rows[-1].digest) if len(rows) == limit else None
        unused = tuple(BlobKey(org_id=row.org_id, digest=row.digest) for row in rows if row.is_unused)
        return BlobPage(unused=unused, after=last)

    async def delete_unused(self, keys: Sequence[BlobKey], *, grace_hours: int) -> list[DeletedBlob]:
        """Deletes those of `keys` that are unused and that nobody is just storing."""
        rows = await self._session.execute(_DELETE_UNUSED, {**_keys(keys), "grace_hours": grace_hours})
        return [DeletedBlob(size_bytes=row.size_bytes, location=row.location) for row in rows]

    async def known_locations(self, keys: Sequence[BlobKey]) -> set[str]:
        """Where the content of `keys` lies, of those that lie in an object store."""
        return set((await self._session.execute(_KNOWN_LOCATIONS, _keys(keys))).scalars())

    async def expired_runs(self, *, days: int, limit: int) -> list[RunKey]:
        """Runs that finished more than `days` ago, locked until the end of the transaction."""
        rows = await self._session.execute(_EXPIRED_RUNS, {"days": days, "limit": limit})
        return [RunKey(org_id=row.org_id, run_id=row.run_id) for row in rows]

    async def delete_steps(self, runs: Sequence[RunKey], *, limit: int) -> int:
        """Deletes at most `limit` steps of runs, and returns how many."""
        return len((await self._session.execute(_DELETE_STEPS, {**_runs(runs), "limit": limit})).all())

    async def delete_exchanges(self, runs: Sequence[RunKey], *, limit: int) -> int:
        """Deletes at most `limit` of what attempts of runs' steps sent and got, and returns how many."""
        return len((await self._session.execute(_DELETE_EXCHANGES, {**_runs(runs), "limit": limit})).all())

    async def delete_map_items(self, runs: Sequence[RunKey], *, limit: int) -> int:
        """Deletes at most `limit` items of runs' maps, and returns how many."""
        return len((await self._session.execute(_DELETE_ITEMS, {**_runs(runs), "limit": limit})).all())

    async def delete_runs(self, runs: Sequence[RunKey]) -> None:
        """Deletes runs and what they hold; money and audit know them still."""
        for statement in (_DELETE_MAPS, _DELETE_MAP_OUTPUTS, _DELETE_GATES, _DELETE_EVENTS, _DELETE_HOLDS):
            await self._session.execute(statement, _runs(runs))
        await self._session.execute(_DELETE_RUNS, _runs(runs))


def _keys(keys: Sequence[BlobKey]) -> dict[str, Any]:
    return {"org_ids": [key.org_id for key in keys], "digests": [key.digest for key in keys]}


def _runs(runs: Sequence[RunKey]) -> dict[str, Any]:
    return {"org_ids": [run.org_id for run in runs], "run_ids": [run.run_id for run in runs]}

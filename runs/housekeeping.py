"""What is removed in the course of time: runs past their retention, blobs that nothing refers to, stray objects.

The ledger and the audit are never touched: what a run has cost is known when the run is not.
"""

from datetime import timedelta

from agentflow.blob_objects import BlobObjects
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.errors import BlobStoreUnavailable
from observability.repository import SpanRepository
from observability.telemetry.logging import get_logger
from runs.code_result_repository import CodeResultRepository
from runs.event_repository import EventRepository
from runs.housekeeping_repository import BlobKey, DeletedBlob, HousekeepingRepository

_log = get_logger(__name__)

_BLOBS_AT_ONCE = 500
_RUNS_AT_ONCE = 20
_ROWS_AT_ONCE = 2_000
_BEFORE_ALL = BlobKey(org_id="", digest="")


class Housekeeping:
    """Each method looks through everything once, a page and a transaction at a time, and may be interrupted."""

    def __init__(
        self,
        database: Database,
        objects: BlobObjects | None,
        clock: Clock,
        *,
        grace_hours: int,
        retention_days: int | None,
    ) -> None:
        self._database, self._objects, self._clock = database, objects, clock
        self._grace_hours, self._retention_days = grace_hours, retention_days

    async def take_turn(self, name: str, *, every_seconds: float) -> bool:
        """Whether this process is to do this kind of work, which no other has begun for `every_seconds`."""
        async with self._database.transaction() as session:
            return await HousekeepingRepository(session).take_turn(name, every_seconds=every_seconds)

    async def remove_runs(self) -> int:
        """Removes runs that finished longer ago than the retention, with all that they did; returns how many."""
        removed = 0
        if self._retention_days is None:
            return removed
        while (batch := await self._remove_some_runs(self._retention_days)) is not None:
            removed += batch
        if removed:
            _log.info("housekeeping.runs_removed", runs=removed)
        return removed

    async def collect_blobs(self) -> int:
        """Removes blobs that nothing refers to, and their objects; returns how many."""
        await self._remove_old_code_results()
        await self._remove_expired_events()
        after: BlobKey | None = _BEFORE_ALL
        removed: list[DeletedBlob] = []
        while after is not None:
            async with self._database.transaction() as session:
                page = await HousekeepingRepository(session).blob_page(
                    after=after, grace_hours=self._grace_hours, limit=_BLOBS_AT_ONCE
                )
            if page.unused:
                removed += await self._delete(page.unused)
            after = page.after
        if removed:
            size_bytes = sum(blob.size_bytes for blob in removed)
            _log.info("housekeeping.blobs_removed", blobs=len(removed), size_bytes=size_bytes)
        return len(removed)

    async def _remove_old_code_results(self) -> None:
        deleted = _ROWS_AT_ONCE
        while deleted == _ROWS_AT_ONCE:
            async with self._database.transaction() as session:
                deleted = await CodeResultRepository(session).delete_old(limit=_ROWS_AT_ONCE)

    async def _remove_expired_events(self) -> None:
        deleted = _ROWS_AT_ONCE
        while deleted == _ROWS_AT_ONCE:
            async with self._database.transaction() as session:
                deleted = await EventRepository(session).delete_expired(limit=_ROWS_AT_ONCE)

    async def remove_stray_objects(self) -> int:
        """Removes objects past the grace that no row names; returns how many. Raises BlobStoreUnavailable."""
        removed = 0
        if self._objects is None or not await self._is_ours(self._objects):
            return removed
        before = self._clock.now() - timedelta(hours=self._grace_hours)
        async for page in self._objects.pages():
            old = [stored for stored in page if stored.modified_at < before]
            keys = [BlobKey(org_id=stored.org_id, digest=stored.digest) for stored in old]
            async with self._database.transaction() as session:
                known = await HousekeepingRepository(session).known_locations(keys)
            stray = [stored.location for stored in old if stored.location not in known]
            await self._objects.delete(stray)
            removed += len(stray)
        if removed:
            _log.info("housekeeping.objects_removed", objects=removed)
        return removed

    async def _remove_some_runs(self, days: int) -> int | None:
        """How many are gone; None when there are no more. A run goes last, when its steps and spans are gone."""
        async with self._database.transaction() as session:
            repository, spans = HousekeepingRepository(session), SpanRepository(session)
            runs = await repository.expired_runs(days=days, limit=_RUNS_AT_ONCE)
            if not runs:
                return None
            for delete in (repository.delete_steps, repository.delete_exchanges, repository.delete_map_items):
                if await delete(runs, limit=_ROWS_AT_ONCE) == _ROWS_AT_ONCE:
                    return 0
            names = [(run.org_id, run.run_id) for run in runs]
            if await spans.delete_of_runs(names, limit=_ROWS_AT_ONCE) == _ROWS_AT_ONCE:
                return 0
            await repository.delete_runs(runs)
            return len(runs)

    async def _delete(self, keys: tuple[BlobKey, ...]) -> list[DeletedBlob]:
        """Rows first: what they name is nobody's then, and an object that remains is a stray one."""
        async with self._database.transaction() as session:
            deleted = await HousekeepingRepository(session).delete_unused(keys, grace_hours=self._grace_hours)
        locations = [blob.location for blob in deleted if blob.location is not None]
        if locations and self._objects is not None:
            try:
                await self._objects.delete(locations)
            except BlobStoreUnavailable as error:
                _log.warning("housekeeping.objects_left", objects=len(locations), reason=str(error))
        return deleted

    async def _is_ours(self, objects: BlobObjects) -> bool:
        """Whether the store is this database's: in the eyes of an empty one, everything in it would be stray."""
        async with self._database.transaction() as session:
            database_id = await HousekeepingRepository(session).database_id()
        owner = await objects.owner(claimed_by=database_id)
        if owner != database_id:
            _log.error(
                "blob_store.of_another_database",
                owner=owner,
                database_id=database_id,
                advice="set BLOB_STORE_URL to a prefix of this database's own; nothing stray is removed until then",
            )
        return owner == database_id

"""An organisation's content and runs, and the housekeeping that passes over them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from agentflow.blob_objects import BlobObjects
from agentflow.blobs import BlobStore
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.digest import sha256_hex
from agentflow.errors import BlobNotFound
from agentflow.statements import Statement
from runs.housekeeping import Housekeeping
from runs.models import NewRun, RunState
from runs.repository import RunRepository
from tests.integration.runs.records import new_run

CONTENT = b"what somebody once wanted"
DIGEST = sha256_hex(CONTENT)
GRACE_HOURS = 24


class LaterClock:
    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return SystemClock().now() + self._ahead


class House:
    """One organisation's blobs and runs, and the housekeeping of all."""

    def __init__(self, database: Database, org_id: str, objects: BlobObjects | None = None) -> None:
        self.database, self.org_id, self.objects = database, org_id, objects
        self.store = BlobStore(database, objects, inline_bytes=0)

    def keeping(self, *, ahead: timedelta = timedelta(), retention_days: int | None = None) -> Housekeeping:
        return Housekeeping(
            self.database, self.objects, LaterClock(ahead), grace_hours=GRACE_HOURS, retention_days=retention_days
        )

    async def put(self, content: bytes = CONTENT, *, held_by: str | None = None) -> str:
        now = SystemClock().now()
        return await self.store.put(
            org_id=self.org_id, content=content, media_type="text/plain", now=now, held_by=held_by
        )

    async def age_blobs(self, hours: float = GRACE_HOURS + 1) -> None:
        """Makes all blobs of the organisation look that old."""
        await self.execute(
            "UPDATE blobs SET touched_at = touched_at - make_interval(secs => :seconds) WHERE org_id = :org_id",
            seconds=hours * 3600,
        )

    async def collect(self) -> None:
        await self.keeping().collect_blobs()

    async def has(self, digest: str = DIGEST) -> bool:
        try:
            await self.store.get(org_id=self.org_id, digest=digest)
        except BlobNotFound:
            return False
        return True

    async def finished_run(self, *, days_ago: float, **changes: str) -> NewRun:
        """A run that succeeded some days ago."""
        run = replace(new_run(self.org_id), **changes)  # type: ignore[arg-type]  # names of text columns
        async with self.database.transaction() as session:
            repository = RunRepository(session)
            await repository.add_run(run, now=SystemClock().now())
            await repository.finish_run(
                org_id=self.org_id,
                run_id=run.run_id,
                state=RunState.SUCCEEDED,
                now=SystemClock().now() - timedelta(days=days_ago),
                node_states={},
                outputs_digest=None,
                error_code=None,
                error_message=None,
                failed_node=None,
            )
        return run

    async def execute(self, statement: str, **parameters: Any) -> Sequence[Any]:
        [rows] = await self.database.fly([Statement(text(statement), {"org_id": self.org_id, **parameters})])
        return rows

    async def count(self, table: str) -> int:
        [row] = await self.execute(f"SELECT count(*) AS number FROM {table} WHERE org_id = :org_id")
        return int(row.number)

"""SQL of events that came before anything waited for them; every statement names the organisation, and none commits.

Whoever keeps an event, and whoever opens a gate for one, locks the run first. So each of them sees what the other has
done: an event is kept and found by the gate, or finds the gate open.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from runs.errors import EventsFull

#: Of one run, that wait to be taken.
MAX_KEPT_EVENTS = 100
MAX_KEPT_BYTES = 4 * 1024 * 1024

_LOCK_RUN = text("SELECT 1 FROM runs WHERE org_id = :org_id AND run_id = :run_id FOR NO KEY UPDATE")
_AMOUNT = text("""
    SELECT count(*) AS events, coalesce(sum(size_bytes), 0) AS size_bytes FROM kept_events
    WHERE org_id = :org_id AND run_id = :run_id AND gate_id IS NULL AND expires_at > now()
""")
_KEEP = text("""
    INSERT INTO kept_events
        (org_id, run_id, event_key, payload_digest, size_bytes, delivered_by, arrived_at, expires_at)
    VALUES (:org_id, :run_id, :event_key, :payload_digest, :size_bytes, :delivered_by,
            now(), now() + make_interval(hours => :keep_hours))
    RETURNING expires_at
""")
#: What the gate has already comes first: it takes one event, however often it is opened.
_TAKE = text("""
    UPDATE kept_events SET gate_id = :gate_id
    WHERE org_id = :org_id AND event_number = (
        SELECT event_number FROM kept_events
        WHERE org_id = :org_id AND run_id = :run_id
          AND (gate_id = :gate_id OR (gate_id IS NULL AND event_key = :event_key AND expires_at > now()))
        ORDER BY gate_id IS NULL, event_number LIMIT 1
    )
    RETURNING payload_digest, delivered_by
""")
_SERVED = text("SELECT gate_id FROM kept_events WHERE org_id = :org_id AND run_id = :run_id AND gate_id IS NOT NULL")
_DELETE_OF_RUN = text("DELETE FROM kept_events WHERE org_id = :org_id AND run_id = :run_id")
#: Those that were taken go with their run.
_DELETE_EXPIRED = text("""
    DELETE FROM kept_events WHERE event_number IN (
        SELECT event_number FROM kept_events WHERE gate_id IS NULL AND expires_at < now()
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event that nothing waits for yet."""

    org_id: str
    run_id: str
    event_key: str
    payload_digest: str
    size_bytes: int
    delivered_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenEvent:
    """An event that a gate has taken."""

    payload_digest: str
    delivered_by: str


class EventRepository:
    """Keeps events, and gives them to gates, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock_run(self, *, org_id: str, run_id: str) -> None:
        """Until the transaction ends nobody else keeps an event of the run, opens a gate for one, or ends the run."""
        await self._session.execute(_LOCK_RUN, {"org_id": org_id, "run_id": run_id})

    async def keep(self, event: NewEvent, *, hours: int) -> datetime:
        """Keeps an event of a locked run, and gives until when; raises EventsFull."""
        values = {name: getattr(event, name) for name in NewEvent.__dataclass_fields__}
        amount = (await self._session.execute(_AMOUNT, values)).mappings().one()
        if amount["events"] >= MAX_KEPT_EVENTS or amount["size_bytes"] + event.size_bytes > MAX_KEPT_BYTES:
            raise EventsFull(run_id=event.run_id, events=amount["events"], size_bytes=int(amount["size_bytes"]))
        expires_at: datetime = (await self._session.execute(_KEEP, {**values, "keep_hours": hours})).scalar_one()
        return expires_at

    async def take(self, *, org_id: str, run_id: str, event_key: str, gate_id: str) -> TakenEvent | None:
        """The event of a gate of a locked run: the one it has, or the oldest that is kept under its key."""
        parameters = {"org_id": org_id, "run_id": run_id, "event_key": event_key, "gate_id": gate_id}
        row = (await self._session.execute(_TAKE, parameters)).mappings().first()
        return TakenEvent(**row) if row is not None else None

    async def served_gates(self, *, org_id: str, run_id: str) -> set[str]:
        """The gates of a run that have taken an event that was kept."""
        return set((await self._session.execute(_SERVED, {"org_id": org_id, "run_id": run_id})).scalars())

    async def delete_of_run(self, *, org_id: str, run_id: str) -> None:
        """Forgets the events of a run that has ended."""
        await self._session.execute(_DELETE_OF_RUN, {"org_id": org_id, "run_id": run_id})

    async def delete_expired(self, *, limit: int) -> int:
        """Deletes at most `limit` events whose time is over, of all organisations; returns how many."""
        return len((await self._session.execute(_DELETE_EXPIRED, {"limit": limit})).all())

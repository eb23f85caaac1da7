"""SQL of admission: limits of organisations, whose run is next, and the locks under which that is decided.

Runs at work are counted, never kept as a counter: a process that dies leaves nothing to be put right. Counting and
admitting are two statements under one lock that lasts to the end of the transaction.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from runs.admission_models import OrganisationLimits, RunCounts
from runs.models import Run
from runs.repository import run_of

#: The first half of PostgreSQL's advisory lock keys of ours; the second is an organisation, or 0 for all of them.
_LOCKS = 0x4146
_QUEUED = "state = 'submitted' AND admitted_at IS NULL"
_AT_WORK = "state IN ('submitted', 'running') AND admitted_at IS NOT NULL"

_LOCK = text(f"""
    SELECT pg_advisory_xact_lock({_LOCKS}, CASE WHEN cast(:org_id AS varchar) IS NULL THEN 0
                                                ELSE hashtext(:org_id) END)
""")
_LIMITS = text("SELECT * FROM organisation_limits WHERE org_id = :org_id")
_LIST_LIMITS = text("SELECT * FROM organisation_limits WHERE org_id > :after ORDER BY org_id LIMIT :limit")
_SET_LIMITS = text("""
    INSERT INTO organisation_limits (org_id, max_running_runs, max_queued_runs, fairness_weight, highest_priority)
    VALUES (:org_id, :max_running_runs, :max_queued_runs, :fairness_weight, :highest_priority)
    ON CONFLICT (org_id) DO UPDATE SET
        max_running_runs = excluded.max_running_runs, max_queued_runs = excluded.max_queued_runs,
        fairness_weight = excluded.fairness_weight, highest_priority = excluded.highest_priority
""")
_COUNTS = text(f"""
    SELECT (SELECT count(*) FROM runs WHERE org_id = :org_id AND {_AT_WORK}) AS running,
           (SELECT count(*) FROM runs WHERE org_id = :org_id AND {_QUEUED}) AS queued
""")
_PLACE = text(f"SELECT count(*) FROM runs WHERE org_id = :org_id AND {_QUEUED} AND run_id <= :run_id")
_COUNT_KEYS = text(f"""
    SELECT count(*) + 1 FROM (
        SELECT DISTINCT fairness_key FROM runs
        WHERE org_id = :org_id AND {_AT_WORK} AND fairness_key <> :fairness_key
    ) AS others
""")
_OF_RUN = "*, 0::bigint AS cost_micro_usd"
#: The oldest first, as many as the organisation has room for.
_ADMIT_OF_ORGANISATION = text(f"""
    UPDATE runs SET admitted_at = clock_timestamp() WHERE run_id IN (
        SELECT run_id FROM runs WHERE org_id = :org_id AND {_QUEUED}
        ORDER BY run_id
        LIMIT least(:at_once, greatest(
            :max_running - (SELECT count(*) FROM runs WHERE org_id = :org_id AND {_AT_WORK}), 0
        ))
    ) AND org_id = :org_id AND {_QUEUED}
    RETURNING {_OF_RUN}
""")
#: One run: of the organisations that wait and have room, the one whose last turn is longest ago.
_ADMIT_NEXT_OF_ALL = text(f"""
    WITH RECURSIVE waiting AS (
        (SELECT org_id FROM runs WHERE {_QUEUED} ORDER BY org_id LIMIT 1)
        UNION ALL
        SELECT (SELECT org_id FROM runs WHERE {_QUEUED} AND org_id > waiting.org_id ORDER BY org_id LIMIT 1)
        FROM waiting WHERE waiting.org_id IS NOT NULL
    ),
    candidate AS (
        SELECT waiting.org_id FROM waiting LEFT JOIN organisation_limits AS limits USING (org_id)
        WHERE waiting.org_id IS NOT NULL AND (
            coalesce(limits.max_running_runs, cast(:max_running_per_org AS integer)) IS NULL
            OR (SELECT count(*) FROM runs WHERE org_id = waiting.org_id AND {_AT_WORK})
               < coalesce(limits.max_running_runs, cast(:max_running_per_org AS integer)))
        ORDER BY (SELECT max(admitted_at) FROM runs
                  WHERE org_id = waiting.org_id AND admitted_at IS NOT NULL) NULLS FIRST, waiting.org_id
        LIMIT 1
    )
    UPDATE runs SET admitted_at = clock_timestamp() WHERE run_id = (
        SELECT run_id FROM runs WHERE org_id = (SELECT org_id FROM candidate) AND {_QUEUED}
        ORDER BY run_id LIMIT 1
    ) AND org_id = (SELECT org_id FROM candidate) AND {_QUEUED}
      AND (SELECT count(*) FROM runs WHERE {_AT_WORK}) < :max_running
    RETURNING {_OF_RUN}
""")
_WAITING = text(f"""
    SELECT DISTINCT org_id FROM runs WHERE {_QUEUED} AND org_id > :after ORDER BY org_id LIMIT :limit
""")
_CANCEL_QUEUED = text(f"""
    UPDATE runs SET state = 'cancelled', cancel_requested_at = :now, finished_at = :now
    WHERE org_id = :org_id AND run_id = :run_id AND {_QUEUED}
    RETURNING run_id
""")


class AdmissionRepository:
    """Limits, queues and turns, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, org_id: str | None) -> None:
        """Lets nobody else admit runs of an organisation, or of any when it is None, until the transaction ends."""
        await self._session.execute(_LOCK, {"org_id": org_id})

    async def limits_of(self, *, org_id: str) -> OrganisationLimits | None:
        """What is set for an organisation; None when nothing is."""
        row = (await self._session.execute(_LIMITS, {"org_id": org_id})).mappings().first()
        return OrganisationLimits(**row) if row else None

    async def list_limits(self, *, after: str = "", limit: int = 100) -> list[OrganisationLimits]:
        """What is set, by organisation: for operators."""
        rows = await self._session.execute(_LIST_LIMITS, {"after": after, "limit": limit})
        return [OrganisationLimits(**row) for row in rows.mappings()]

    async def set_limits(self, limits: OrganisationLimits) -> None:
        """Replaces what is set for an organisation."""
        parameters: dict[str, Any] = {
            "org_id": limits.org_id,
            "max_running_runs": limits.max_running_runs,
            "max_queued_runs": limits.max_queued_runs,
            "fairness_weight": limits.fairness_weight,
            "highest_priority": limits.highest_priority,
        }
        await self._session.execute(_SET_LIMITS, parameters)

    async def counts(self, *, org_id: str) -> RunCounts:
        """How many of an organisation's runs are at work, and how many wait."""
        row = (await self._session.execute(_COUNTS, {"org_id": org_id})).one()
        return RunCounts(running=row.running, queued=row.queued)

    async def count_keys(self, *, org_id: str, fairness_key: str) -> int:
        """How many fairness keys an organisation's runs at work have, `fairness_key` with them."""
        parameters = {"org_id": org_id, "fairness_key": fairness_key}
        count: int = (await self._session.execute(_COUNT_KEYS, parameters)).scalar_one()
        return count

    async def place(self, *, org_id: str, run_id: str) -> int:
        """Where a run that waits stands among its organisation's, from 1."""
        place: int = (await self._session.execute(_PLACE, {"org_id": org_id, "run_id": run_id})).scalar_one()
        return place

    async def admit_of_organisation(self, *, org_id: str, max_running: int, at_once: int) -> list[Run]:
        """Lets the organisation's oldest runs in, as many as there is room for; under its lock."""
        parameters = {"org_id": org_id, "max_running": max_running, "at_once": at_once}
        rows = await self._session.execute(_ADMIT_OF_ORGANISATION, parameters)
        return [run_of(row) for row in rows.mappings()]

    async def admit_next_of_all(self, *, max_running: int, max_running_per_org: int | None) -> Run | None:
        """Lets one run in whose organisation is next; None when there is none, or no room. Under the lock of all."""
        parameters = {"max_running": max_running, "max_running_per_org": max_running_per_org}
        row = (await self._session.execute(_ADMIT_NEXT_OF_ALL, parameters)).mappings().first()
        return run_of(row) if row else None

    async def waiting_organisations(self, *, after: str, limit: int) -> list[str]:
        """A page, by id, of the organisations with runs that wait: for the sweeper."""
        rows = await self._session.execute(_WAITING, {"after": after, "limit": limit})
        return list(rows.scalars())

    async def cancel_queued(self, *, org_id: str, run_id: str, now: datetime) -> bool:
        """Ends a run that waits; False when it waits no more."""
        parameters = {"org_id": org_id, "run_id": run_id, "now": now}
        return (await self._session.execute(_CANCEL_QUEUED, parameters)).first() is not None

"""Which recorded runs may start: caps for each organisation and for all, oldest first, organisations in turn.

A run beyond a cap stays `submitted` and waits; whoever ends a run lets the next one in, and the sweeper does what a
dead process left undone. Without caps nothing is counted and nothing waits.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from runs.admission_models import (
    DEFAULT_PRIORITY,
    AdmissionDefaults,
    EffectiveLimits,
    effective_limits,
    fairness_key_of,
)
from runs.admission_repository import AdmissionRepository
from runs.errors import RunQueueFull
from runs.models import NewRun, Run
from runs.repository import RunRepository

#: Of one transaction: what is left is the sweeper's, or the next one's that ends.
_ADMISSIONS_AT_ONCE = 50
#: More than there can be.
_NO_CAP = 2**31 - 1


class Admission:
    """Admits runs, inside the caller's transaction; what it admits the caller starts once that has committed."""

    def __init__(self, session: AsyncSession, defaults: AdmissionDefaults) -> None:
        self._session, self._defaults = session, defaults
        self._repository = AdmissionRepository(session)

    async def limits(self, *, org_id: str) -> EffectiveLimits:
        """What holds for an organisation."""
        return effective_limits(self._defaults, await self._repository.limits_of(org_id=org_id))

    async def record(self, run: NewRun, limits: EffectiveLimits, *, now: datetime) -> list[Run] | None:
        """Records a run and admits what has its turn, which may be others; None when its idempotency key was used.

        Raises RunQueueFull when the run would have to wait and too many wait already.
        """
        runs, run = RunRepository(self._session), await self._weighed(run, limits)
        if limits.always_admits:
            return [] if await runs.add_run(run, now=now) else None
        await self._lock(run.org_id)
        if not await runs.add_run(run, now=now, is_admitted=False):
            return None
        admitted = await self._admit(run.org_id, limits)
        most = limits.max_queued_runs_per_org
        if most is not None and run.run_id not in {each.run_id for each in admitted}:
            counts = await self._repository.counts(org_id=run.org_id)
            if counts.queued > most:
                raise RunQueueFull(running=counts.running, queued=most)
        return admitted

    async def admit_next(self, *, org_id: str) -> list[Run]:
        """Admits what has its turn once a run of an organisation has ended, or its limits have changed."""
        limits = await self.limits(org_id=org_id)
        if limits.always_admits and not await self._has_queue(org_id):
            return []
        await self._lock(org_id)
        return await self._admit(org_id, limits)

    async def _weighed(self, run: NewRun, limits: EffectiveLimits) -> NewRun:
        """The run with the priority it may have, and its share: several keys of an organisation divide its weight."""
        key, weight = fairness_key_of(run.org_id, run.fairness_key), limits.fairness_weight
        if run.fairness_key is not None:
            weight /= await self._repository.count_keys(org_id=run.org_id, fairness_key=key)
        priority = max(run.priority or DEFAULT_PRIORITY, limits.highest_priority)
        return replace(run, priority=priority, fairness_key=key, fairness_weight=weight)

    async def _has_queue(self, org_id: str) -> bool:
        # A cap that was taken away leaves a queue behind.
        return (await self._repository.counts(org_id=org_id)).queued > 0

    async def _lock(self, org_id: str) -> None:
        await self._repository.lock(None if self._defaults.max_running_runs is not None else org_id)

    async def _admit(self, org_id: str, limits: EffectiveLimits) -> list[Run]:
        total = limits.max_running_runs
        if total is None:
            most = limits.max_running_runs_per_org
            room = most if most is not None else _NO_CAP
            return await self._repository.admit_of_organisation(
                org_id=org_id, max_running=room, at_once=_ADMISSIONS_AT_ONCE
            )
        admitted: list[Run] = []
        while len(admitted) < _ADMISSIONS_AT_ONCE:
            run = await self._repository.admit_next_of_all(
                max_running=total, max_running_per_org=self._defaults.max_running_runs_per_org
            )
            if run is None:
                break
            admitted.append(run)
        return admitted

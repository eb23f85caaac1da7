"""What becomes of an event from outside: a run that waits for it gets it, and one that will wait finds it kept."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client

from activities.gate_payloads import DELIVER, Delivery
from agentflow.blobs import BlobStore
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.digest import canonical_json
from runs.errors import GateClosed, GateNotFound, GateNotReady, RunNotFound
from runs.event_repository import EventRepository, NewEvent
from runs.gate_models import GateKind, GateState
from runs.gate_repository import GateRepository
from runs.models import Run
from runs.plan_outline import PlanOutline
from runs.repository import RunRepository
from workflows.plan_outlines import PlanOutlines
from workflows.run_updates import update_run

#: How long an event is kept where no setting says it.
KEEP_HOURS = 24
#: How long a run that is about to take an event is waited for.
_PATIENCE_SECONDS = 3.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFate:
    """What became of an event: delivered, or kept until a time."""

    kept_until: datetime | None = None


class EventDelivery:
    """Delivers events to runs, or keeps them."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        temporal: Client,
        clock: Clock,
        *,
        plans: PlanOutlines,
        keep_hours: int,
    ) -> None:
        """An event that comes too early is kept for `keep_hours`; 0 keeps none."""
        self._database, self._blobs, self._temporal, self._clock = database, blobs, temporal, clock
        self._plans, self._keep_hours = plans, keep_hours

    async def deliver(self, *, org_id: str, run_id: str, event_key: str, payload: Any, delivered_by: str) -> EventFate:
        """Gives an event to what waits for it, or keeps it for what will.

        Raises RunNotFound; GateNotFound or GateClosed when nothing will wait for it any more, EventsFull when too much
        is kept already, and GateNotReady.
        """
        nodes = await self._nodes_that_may_wait(org_id, run_id, event_key)
        # Asked before anything is stored, and again when it counts.
        async with self._database.transaction() as session:
            await self._is_waited_for(session, org_id, run_id, event_key, nodes)
        digest = await self._blobs.put_json(org_id=org_id, value=payload, now=self._clock.now(), held_by=run_id)
        event = NewEvent(
            org_id=org_id,
            run_id=run_id,
            event_key=event_key,
            payload_digest=digest,
            size_bytes=len(canonical_json(payload)),
            delivered_by=delivered_by,
        )
        delivery = Delivery(event_key=event_key, payload_digest=digest, delivered_by=delivered_by)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            if (kept_until := await self._kept_until(event, nodes)) is not None:
                return EventFate(kept_until=kept_until)
            if await update_run(self._temporal, run_id, DELIVER, delivery, update_id=None, gate_id=event_key):
                return EventFate()
            if asyncio.get_running_loop().time() > deadline:
                raise GateNotReady(gate_id=event_key)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _kept_until(self, event: NewEvent, nodes: set[str]) -> datetime | None:
        """Keeps an event, and gives until when; None when something waits for it. Raises as `deliver`."""
        async with self._database.transaction() as session:
            events = EventRepository(session)
            await events.lock_run(org_id=event.org_id, run_id=event.run_id)
            if await self._is_waited_for(session, event.org_id, event.run_id, event.event_key, nodes):
                return None
            return await events.keep(event, hours=self._keep_hours)

    async def _is_waited_for(
        self, session: AsyncSession, org_id: str, run_id: str, event_key: str, nodes: set[str]
    ) -> bool:
        """Whether something waits for an event; False when one of `nodes` may come to it. Raises as `deliver`."""
        run = await _run(session, org_id, run_id)
        gates = await GateRepository(session).of_run(org_id=org_id, run_id=run_id)
        served = await EventRepository(session).served_gates(org_id=org_id, run_id=run_id)
        mine = [gate for gate in gates if gate.event_key == event_key]
        if any(gate.state is GateState.OPEN and gate.gate_id not in served for gate in mine):
            return True
        ahead = nodes - {gate.node_id for gate in gates if gate.kind is GateKind.EVENT}
        if self._keep_hours and ahead and not run.state.is_final:
            return False
        if not mine:
            raise GateNotFound(name=event_key)
        state = mine[-1].state
        raise GateClosed(gate_id=event_key, state=(GateState.PASSED if state is GateState.OPEN else state).value)

    async def _nodes_that_may_wait(self, org_id: str, run_id: str, event_key: str) -> set[str]:
        async with self._database.transaction() as session:
            run = await _run(session, org_id, run_id)
        if run.state.is_final or not self._keep_hours:
            return set()
        return _waits_for(await self._plans.get(org_id=org_id, digest=run.plan_digest), event_key)


async def _run(session: AsyncSession, org_id: str, run_id: str) -> Run:
    run = await RunRepository(session).get_run(org_id=org_id, run_id=run_id)
    if run is None:
        raise RunNotFound(run_id=run_id)
    return run


def _waits_for(plan: PlanOutline, event_key: str) -> set[str]:
    """The nodes whose key is `event_key`, or is worked out when they begin."""
    return {
        node.node_id
        for node in plan.nodes
        if node.event is not None and (node.event.kind != "literal" or str(node.event.value) == event_key)
    }

"""Decisions and events from outside: who may decide, on what, and how that reaches the run.

The run itself takes the decision, as a Temporal update that it checks first; here stand the checks that need a
database, and the words for what went wrong.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.payloads import DECIDE, DELIVER, Decision, Delivery
from agentflow.blobs import BlobStore
from agentflow.clock import Clock
from agentflow.database import Database
from runs.errors import DecisionStale, GateClosed, GateNotFound, GateNotReady, NotApprover, RunNotFound
from runs.gate_models import Gate, GateKind, GateState
from runs.gate_repository import GateRepository
from runs.repository import RunRepository
from workflows.gates import STALE

#: How long a run that is about to take a decision is waited for.
_PATIENCE_SECONDS = 3.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """An approval with what is to be approved."""

    gate: Gate
    show: Any


class GateService:
    """The use cases of approvals and events."""

    def __init__(self, database: Database, blobs: BlobStore, temporal: Client, clock: Clock) -> None:
        self._database, self._blobs, self._temporal, self._clock = database, blobs, temporal, clock

    async def list_approvals(
        self, *, org_id: str, is_open: bool, run_id: str | None, after: str, limit: int
    ) -> list[Gate]:
        """Approvals by id: those that wait for a decision, or those that are over."""
        async with self._database.transaction() as session:
            return await GateRepository(session).list_approvals(
                org_id=org_id, is_open=is_open, run_id=run_id, after=after, limit=limit
            )

    async def get_approval(self, *, org_id: str, gate_id: str) -> ApprovalView:
        """An approval with what is to be approved; raises GateNotFound."""
        gate = await self._approval(org_id, gate_id)
        show = None
        if gate.subject_digest is not None:
            content = await self._blobs.get(org_id=org_id, digest=gate.subject_digest)
            show = json.loads(content.decode("utf-8", errors="replace"))["show"]
        return ApprovalView(gate=gate, show=show)

    async def decide(
        self,
        *,
        org_id: str,
        gate_id: str,
        approved: bool,
        subject_digest: str,
        decision_id: str,
        decided_by: str,
        comment: str | None,
    ) -> Gate:
        """Decides an approval once; the same decision id again changes nothing.

        Raises GateNotFound, NotApprover, DecisionStale, GateClosed or GateNotReady.
        """
        gate = await self._approval(org_id, gate_id)
        if gate.approvers and decided_by not in gate.approvers:
            raise NotApprover(gate_id=gate_id, approvers=gate.approvers)
        if gate.subject_digest != subject_digest:
            raise DecisionStale(gate_id=gate_id)
        if gate.state is not GateState.OPEN:
            if gate.decision_id == decision_id:
                return gate
            raise GateClosed(gate_id=gate_id, state=gate.state.value)
        comment_digest = None
        if comment is not None:
            comment_digest = await self._blobs.put_json(
                org_id=org_id, value=comment, now=self._clock.now(), held_by=gate.run_id
            )
        decision = Decision(
            gate_id=gate_id,
            subject_digest=subject_digest,
            decision_id=decision_id,
            approved=approved,
            decided_by=decided_by,
            comment_digest=comment_digest,
        )
        update_id = f"{gate_id}/{decision_id}"
        try:
            await self._update(gate.run_id, DECIDE, decision, update_id=update_id, gate_id=gate_id)
        except GateNotReady:
            gate = await self._approval(org_id, gate_id)
            if gate.state is not GateState.OPEN:
                raise GateClosed(gate_id=gate_id, state=gate.state.value) from None
            raise
        return await self._approval(org_id, gate_id)

    async def deliver(self, *, org_id: str, run_id: str, event_key: str, payload: Any, delivered_by: str) -> None:
        """Gives an event to what a run waits for; raises RunNotFound, GateNotFound, GateClosed or GateNotReady."""
        async with self._database.transaction() as session:
            if await RunRepository(session).get_run(org_id=org_id, run_id=run_id) is None:
                raise RunNotFound(run_id=run_id)
            waiting = await self._waiting_for(session, org_id, run_id, event_key)
        if not waiting:
            raise GateNotFound(name=event_key)
        if all(gate.state is not GateState.OPEN for gate in waiting):
            raise GateClosed(gate_id=event_key, state=waiting[-1].state.value)
        digest = await self._blobs.put_json(org_id=org_id, value=payload, now=self._clock.now(), held_by=run_id)
        delivery = Delivery(event_key=event_key, payload_digest=digest, delivered_by=delivered_by)
        await self._update(run_id, DELIVER, delivery, update_id=None, gate_id=event_key)

    async def _approval(self, org_id: str, gate_id: str) -> Gate:
        async with self._database.transaction() as session:
            gate = await GateRepository(session).get(org_id=org_id, gate_id=gate_id)
        if gate is None or gate.kind is not GateKind.APPROVAL:
            raise GateNotFound(name=gate_id)
        return gate

    @staticmethod
    async def _waiting_for(session: AsyncSession, org_id: str, run_id: str, event_key: str) -> list[Gate]:
        gates = await GateRepository(session).of_run(org_id=org_id, run_id=run_id)
        return [gate for gate in gates if gate.event_key == event_key]

    async def _update(self, run_id: str, name: str, value: Any, *, update_id: str | None, gate_id: str) -> None:
        """Has the run take a decision or an event, which it may not be ready for at once."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            try:
                await self._temporal.get_workflow_handle(run_id).execute_update(name, value, id=update_id)
            except WorkflowUpdateFailedError as error:
                cause = error.cause
                if isinstance(cause, ApplicationError) and cause.type == STALE:
                    raise DecisionStale(gate_id=gate_id) from error
                # The row says open: the run has not read that yet, is between two histories, or just decided.
                if asyncio.get_running_loop().time() > deadline:
                    raise GateNotReady(gate_id=gate_id) from error
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise GateClosed(gate_id=gate_id, state="ended with its run") from error
                raise GateNotReady(gate_id=gate_id) from error
            else:
                return
            await asyncio.sleep(_PAUSE_SECONDS)

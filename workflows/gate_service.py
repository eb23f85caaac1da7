"""Decisions and events from outside: who may decide, on what, and how that reaches the run.

The run itself takes the decision, as a Temporal update that it checks first; here stand the checks that need a
database, and the words for what went wrong.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from temporalio.client import Client

from activities.catalog import builtin_tools
from activities.gate_payloads import (
    DECIDE,
    Decision,
)
from agentflow.blobs import BlobStore
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.digest import sha256_hex
from runs.errors import DecisionStale, DecisionUnfit, GateClosed, GateNotFound, GateNotReady, NotApprover
from runs.gate_models import DoubtResolution, Gate, GateKind, GateState, shown_in
from runs.gate_repository import GateRepository
from runs.signatures import StepSignature
from scl.schema_validation import validate_aside
from workflows.event_delivery import KEEP_HOURS, EventDelivery, EventFate
from workflows.plan_outlines import PlanOutlines
from workflows.run_updates import update_run

#: How long a run that is about to take a decision is waited for.
_PATIENCE_SECONDS = 3.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """An approval with what is to be approved."""

    gate: Gate
    #: JSON with what is shown as `show`; None where nothing is.
    subject: bytes | None

    @property
    def show(self) -> Any:
        """What is to be approved; reading it takes as long as it is."""
        return shown_in(self.subject)


class GateService:
    """The use cases of approvals and events."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        temporal: Client,
        clock: Clock,
        tools: Mapping[str, StepSignature] | None = None,
        *,
        keep_hours: int = KEEP_HOURS,
        plans: PlanOutlines | None = None,
    ) -> None:
        """`tools` are what outputs are checked against that people give; those that ship with AgentFlow otherwise."""
        self._database, self._blobs, self._temporal, self._clock = database, blobs, temporal, clock
        self._tools = builtin_tools() if tools is None else tools
        self._events = EventDelivery(
            database, blobs, temporal, clock, plans=plans or PlanOutlines(blobs), keep_hours=keep_hours
        )

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
        digest = gate.subject_digest
        subject = await self._blobs.get(org_id=org_id, digest=digest) if digest is not None else None
        return ApprovalView(gate=gate, subject=subject)

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

        Raises DecisionUnfit, GateNotFound, NotApprover, DecisionStale, GateClosed or GateNotReady.
        """
        gate = await self._approval(org_id, gate_id)
        if gate.kind is not GateKind.APPROVAL:
            raise DecisionUnfit(gate_id=gate_id, kind=gate.kind.value, reason="say what became of it: resolve it")
        decision = Decision(
            gate_id=gate_id,
            subject_digest=subject_digest,
            decision_id=decision_id,
            approved=approved,
            decided_by=decided_by,
        )
        return await self._take(gate, decision, comment)

    async def resolve(
        self,
        *,
        org_id: str,
        gate_id: str,
        resolution: DoubtResolution,
        output: Any,
        subject_digest: str,
        decision_id: str,
        decided_by: str,
        comment: str | None,
    ) -> Gate:
        """Says once what became of a step in doubt; the same decision id again changes nothing.

        `output` is the step's, when it was performed. Raises SchemaViolation when it is not what the tool gives, and
        DecisionUnfit, GateNotFound, DecisionStale, GateClosed or GateNotReady.
        """
        gate = await self._approval(org_id, gate_id)
        if gate.kind is not GateKind.IN_DOUBT:
            raise DecisionUnfit(gate_id=gate_id, kind=gate.kind.value, reason="approve or reject it")
        output_digest = None
        if output is not None:
            output_digest = await self._checked_output(gate, resolution, output)
        decision = Decision(
            gate_id=gate_id,
            subject_digest=subject_digest,
            decision_id=decision_id,
            approved=resolution is DoubtResolution.PERFORMED,
            decided_by=decided_by,
            resolution=resolution.value,
            output_digest=output_digest,
        )
        return await self._take(gate, decision, comment)

    async def _take(self, gate: Gate, decision: Decision, comment: str | None) -> Gate:
        """Checks what needs the database, and has the run take the decision."""
        org_id, gate_id = gate.org_id, gate.gate_id
        if gate.approvers and decision.decided_by not in gate.approvers:
            raise NotApprover(gate_id=gate_id, approvers=gate.approvers)
        if gate.subject_digest != decision.subject_digest:
            raise DecisionStale(gate_id=gate_id)
        if gate.state is not GateState.OPEN:
            if gate.decision_id == decision.decision_id:
                return gate
            raise GateClosed(gate_id=gate_id, state=gate.state.value)
        if comment is not None:
            digest = await self._blobs.put_json(
                org_id=org_id, value=comment, now=self._clock.now(), held_by=gate.run_id
            )
            decision = replace(decision, comment_digest=digest)
        # Whoever decides chooses the decision's id, and Temporal keeps an update's id as it is.
        update_id = f"{gate_id}/{sha256_hex(decision.decision_id.encode())[:32]}"
        try:
            await self._update(gate.workflow_id or gate.run_id, decision, update_id=update_id)
        except GateNotReady:
            gate = await self._approval(org_id, gate_id)
            if gate.state is not GateState.OPEN:
                raise GateClosed(gate_id=gate_id, state=gate.state.value) from None
            raise
        return await self._approval(org_id, gate_id)

    async def _checked_output(self, gate: Gate, resolution: DoubtResolution, output: Any) -> str:
        """The digest of an output that a person gives; raises DecisionUnfit or SchemaViolation."""
        if resolution is not DoubtResolution.PERFORMED:
            reason = "an output belongs to a step that was performed"
            raise DecisionUnfit(gate_id=gate.gate_id, kind=gate.kind.value, reason=reason)
        view = await self.get_approval(org_id=gate.org_id, gate_id=gate.gate_id)
        signature = self._tools.get(str(view.show["tool"]))
        if signature is not None and signature.output_schema is not None:
            where = f"output of {gate.node_id!r}"
            await validate_aside(output, signature.output_schema, where=where, owner=gate.org_id)
        return await self._blobs.put_json(org_id=gate.org_id, value=output, now=self._clock.now(), held_by=gate.run_id)

    async def deliver(self, *, org_id: str, run_id: str, event_key: str, payload: Any, delivered_by: str) -> EventFate:
        """Gives an event to what a run waits for, or keeps it for what will wait; raises as EventDelivery.deliver."""
        return await self._events.deliver(
            org_id=org_id, run_id=run_id, event_key=event_key, payload=payload, delivered_by=delivered_by
        )

    async def _approval(self, org_id: str, gate_id: str) -> Gate:
        async with self._database.transaction() as session:
            gate = await GateRepository(session).get(org_id=org_id, gate_id=gate_id)
        if gate is None or gate.kind not in {GateKind.APPROVAL, GateKind.IN_DOUBT}:
            raise GateNotFound(name=gate_id)
        return gate

    async def _update(self, workflow_id: str, decision: Decision, *, update_id: str) -> None:
        """Has the run take a decision, which it may not be ready for at once; raises as `update_run`."""
        deadline, gate_id = asyncio.get_running_loop().time() + _PATIENCE_SECONDS, decision.gate_id
        while not await update_run(self._temporal, workflow_id, DECIDE, decision, update_id=update_id, gate_id=gate_id):
            if asyncio.get_running_loop().time() > deadline:
                raise GateNotReady(gate_id=gate_id)
            await asyncio.sleep(_PAUSE_SECONDS)

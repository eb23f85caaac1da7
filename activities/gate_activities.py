"""The activities of approvals and waits: opening a gate, letting others decide, and recording how it ended.

The workflow waits, and takes the decision or the event; what is waited for, and what came of it, is recorded here. All
of it may be repeated without harm: a gate's id follows from the run and the node.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.arguments import evaluate_aside, read_scope
from activities.errors import ApprovalRejected, ApprovalTooLarge, EventKeyInvalid, GateExpired, InstantInvalid
from activities.gate_payloads import (
    CLOSE_GATE,
    ESCALATE_GATE,
    OPEN_GATE,
    CloseGateCall,
    Delivery,
    EscalateCall,
    GateCall,
    OpenedGate,
)
from activities.payloads import StepDone
from activities.resources import Resources
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json, keyed_digest, sha256_hex
from agentflow.large_values import beside_loop, canonical_json_in_pieces
from agentflow.statements import Statement
from agentflow.storable_text import storable_text
from runs.errors import DecisionStale, GateNotFound, NotApprover
from runs.event_repository import EventRepository
from runs.facts import extract_facts
from runs.gate_models import Gate, GateKind, GateState, NewGate
from runs.gate_repository import GateRepository
from runs.journal_repository import EffectJournal, StepRequest
from runs.models import StepKey, StepOutput, StepState, StepUsage
from runs.plan import GatePlan, PlanNode

MAX_EVENT_KEY_CHARACTERS = 256

#: Of an approval: what a person can look at, and a page can show.
_MAX_SUBJECT_BYTES = 4 * 1024 * 1024


def gate_id_of(*, org_id: str, run_id: str, node_id: str, generation: int) -> str:
    """The one gate of a node of a run."""
    return f"gate_{keyed_digest(org_id, run_id, node_id, generation)[:32]}"


class GateActivities:
    """What the interpreter asks for around a wait."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=OPEN_GATE)
    async def open_gate(self, call: GateCall) -> OpenedGate:
        """Works out what is waited for and records it; raises ExpressionFailed or InstantInvalid."""
        org_id = call.run.org_id
        plan = await self._resources.plan(org_id=org_id, digest=call.run.plan_digest)
        node = plan.node(call.node_id)
        scope = await read_scope(self._resources, call.run, call.outputs)
        arguments = await evaluate_aside(node.leaf.arguments, scope, dialect=plan.dialect, owner=org_id)
        gate = await self._new_gate(call, node, arguments)
        async with self._resources.database.transaction() as session:
            opened, due_seconds, delivery = await _open(session, gate)
        return OpenedGate(
            gate_id=opened.gate_id,
            kind=opened.kind.value,
            subject_digest=opened.subject_digest,
            event_key=opened.event_key,
            due_seconds=due_seconds,
            delivery=delivery,
        )

    @activity.defn(name=ESCALATE_GATE)
    async def escalate_gate(self, call: EscalateCall) -> None:
        """Lets the approvers of one escalation decide, besides those who could before."""
        plan = await self._resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
        gate = plan.node(call.node_id).gate or GatePlan()
        names = [*gate.approvers]
        for step in gate.escalations[: call.level + 1]:
            names.extend(step.approvers)
        async with self._resources.database.transaction() as session:
            await GateRepository(session).escalate(
                org_id=call.run.org_id, gate_id=call.gate_id, approvers=list(dict.fromkeys(names))
            )

    @activity.defn(name=CLOSE_GATE)
    async def close_gate(self, call: CloseGateCall) -> StepDone:
        """Records how the gate ended, with its output; raises ApprovalRejected or GateExpired if that is a failure."""
        org_id = call.run.org_id
        plan = await self._resources.plan(org_id=org_id, digest=call.run.plan_digest)
        node = plan.node(call.node_id)
        ending = await self._ending(call, node.gate or GatePlan())
        output = ending.output
        content = canonical_json(output)
        done = StepOutput(
            digest=sha256_hex(content),
            size_bytes=len(content),
            facts=extract_facts(output, node.facts),
        )
        stored = await self._resources.blobs.put_statement(
            org_id=org_id,
            digest=done.digest,
            content=content,
            media_type=JSON_MEDIA_TYPE,
            now=self._resources.clock.now(),
        )
        failure = self._failure(call, node, ending.state)
        record = _Record(ending=ending, output=done, stored=stored, failure=failure)
        await self._record(call, node, record)
        if failure is not None:
            raise failure
        return StepDone(digest=done.digest, size_bytes=done.size_bytes, facts=dict(done.facts))

    async def _new_gate(self, call: GateCall, node: PlanNode, arguments: dict[str, Any]) -> NewGate:
        run, settings = call.run, node.gate or GatePlan()
        key = StepKey(org_id=run.org_id, run_id=run.run_id, node_id=node.node_id, generation=call.generation)
        gate_id = gate_id_of(org_id=run.org_id, run_id=run.run_id, node_id=node.node_id, generation=call.generation)
        if node.type == "approval":
            message = storable_text(str(arguments.pop("message")))
            shown = {name.removeprefix("show."): value for name, value in arguments.items()}
            # The subject is the message, too: a decision is about both.
            content = await beside_loop(
                lambda: canonical_json_in_pieces({"message": message, "show": shown}), on=shown, owner=run.org_id
            )
            if len(content) > _MAX_SUBJECT_BYTES:
                raise ApprovalTooLarge(node_id=node.node_id, size_bytes=len(content), limit=_MAX_SUBJECT_BYTES)
            subject = await self._resources.blobs.put(
                org_id=run.org_id,
                content=content,
                media_type=JSON_MEDIA_TYPE,
                now=self._resources.clock.now(),
                held_by=run.run_id,
            )
            return NewGate(
                gate_id=gate_id,
                key=key,
                kind=GateKind.APPROVAL,
                message=message[:2_000],
                subject_digest=subject,
                approvers=settings.approvers,
                due_seconds=settings.timeout_seconds,
            )
        if "event" in arguments:
            event_key = _event_key(arguments["event"], node.node_id)
            return NewGate(
                gate_id=gate_id,
                key=key,
                kind=GateKind.EVENT,
                event_key=event_key,
                due_seconds=settings.timeout_seconds,
            )
        seconds = settings.wait_seconds
        if seconds is None:
            seconds = self._seconds_until(node, arguments["until"])
        return NewGate(gate_id=gate_id, key=key, kind=GateKind.TIMER, due_seconds=seconds)

    def _seconds_until(self, node: PlanNode, value: Any) -> float:
        try:
            instant = datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise InstantInvalid(node_id=node.node_id) from error
        if instant.tzinfo is None:
            raise InstantInvalid(node_id=node.node_id)
        return max((instant.astimezone(UTC) - self._resources.clock.now()).total_seconds(), 0.0)

    async def _ending(self, call: CloseGateCall, settings: GatePlan) -> "_Ending":
        decision, delivery, org_id = call.decision, call.delivery, call.run.org_id
        if decision is not None:
            comment = None
            if decision.comment_digest is not None:
                comment = str(await self._resources.json_value(org_id=org_id, digest=decision.comment_digest))
            return _decided(approved=decision.approved, by=decision.decided_by, comment=comment)
        if delivery is not None:
            payload = await self._resources.json_value(org_id=org_id, digest=delivery.payload_digest)
            return _Ending(state=GateState.PASSED, output=payload, by=delivery.delivered_by)
        if call.gate.kind == GateKind.TIMER:
            return _Ending(state=GateState.PASSED, output=None)
        if call.gate.kind == GateKind.APPROVAL and settings.on_timeout in {"approve", "reject"}:
            return _decided(approved=settings.on_timeout == "approve", by=None, comment="nobody decided in time")
        return _Ending(state=GateState.EXPIRED, output=None)

    @staticmethod
    def _failure(call: CloseGateCall, node: PlanNode, state: GateState) -> ApprovalRejected | GateExpired | None:
        settings = node.gate or GatePlan()
        if state is GateState.REJECTED and settings.on_reject == "fail":
            by = call.decision.decided_by if call.decision is not None else None
            return ApprovalRejected(node_id=node.node_id, decided_by=by)
        if state is GateState.EXPIRED and settings.on_timeout == "fail":
            return GateExpired(node_id=node.node_id, kind=node.type)
        return None

    async def _record(self, call: CloseGateCall, node: PlanNode, record: "_Record") -> None:
        run, ending = call.run, record.ending
        request = StepRequest(
            key=StepKey(org_id=run.org_id, run_id=run.run_id, node_id=node.node_id, generation=call.generation),
            kind=node.leaf.kind,
            # Whatever is decided first stays; a repetition of this activity has the same decision.
            request_digest=keyed_digest(run.plan_digest, call.gate.gate_id),
            attempt=1,
        )
        async with self._resources.database.transaction() as session:
            gates, journal = GateRepository(session), EffectJournal(session)
            gate = await gates.get(org_id=run.org_id, gate_id=call.gate.gate_id)
            _check_decision(call, gate)
            now = self._resources.clock.now()
            seconds = max((now - gate.opened_at).total_seconds(), 0.0) if gate is not None else 0.0
            await session.execute(record.stored.clause, record.stored.parameters)
            if record.failure is None:
                await journal.record(request, output=record.output, usage=StepUsage(), seconds=seconds)
            else:
                await journal.record_failure(
                    request,
                    state=StepState.FAILED,
                    error_code=record.failure.code,
                    error_message=str(record.failure),
                    seconds=seconds,
                )
            await gates.close(
                org_id=run.org_id,
                gate_id=call.gate.gate_id,
                state=ending.state,
                decided_by=ending.by,
                decision_id=call.decision.decision_id if call.decision is not None else None,
                comment=ending.comment,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """How a gate ended, and what it gives."""

    state: GateState
    output: Any
    by: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What is recorded of it, in one transaction."""

    ending: _Ending
    output: StepOutput
    stored: Statement
    failure: ApprovalRejected | GateExpired | None


async def _open(session: AsyncSession, gate: NewGate) -> tuple[Gate, float | None, Delivery | None]:
    """The gate, the seconds that are left of its time, and the event that came before it: the same each time."""
    org_id, run_id, events = gate.key.org_id, gate.key.run_id, EventRepository(session)
    if gate.event_key is not None:
        await events.lock_run(org_id=org_id, run_id=run_id)
    opened, due_seconds = await GateRepository(session).open(gate)
    key = opened.event_key
    if key is None or opened.state is not GateState.OPEN:
        return opened, due_seconds, None
    taken = await events.take(org_id=org_id, run_id=run_id, event_key=key, gate_id=opened.gate_id)
    if taken is None:
        return opened, due_seconds, None
    delivery = Delivery(event_key=key, payload_digest=taken.payload_digest, delivered_by=taken.delivered_by)
    return opened, due_seconds, delivery


def _check_decision(call: CloseGateCall, gate: Gate | None) -> None:
    """Raises NotApprover or DecisionStale for a decision that the gate as recorded does not allow."""
    decision = call.decision
    if decision is None:
        return
    if gate is None or gate.run_id != call.run.run_id or gate.node_id != call.node_id:
        raise GateNotFound(name=call.gate.gate_id)
    if gate.approvers and decision.decided_by not in gate.approvers:
        raise NotApprover(gate_id=gate.gate_id, approvers=gate.approvers)
    if gate.subject_digest != decision.subject_digest:
        raise DecisionStale(gate_id=gate.gate_id)


def _decided(*, approved: bool, by: str | None, comment: str | None) -> _Ending:
    output = {"approved": approved, "by": by, "comment": comment}
    state = GateState.APPROVED if approved else GateState.REJECTED
    return _Ending(state=state, output=output, by=by, comment=comment)


def _event_key(value: Any, node_id: str) -> str:
    """The key as senders write it; raises EventKeyInvalid."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise EventKeyInvalid(node_id=node_id, reason="is neither a text nor a whole number")
    key = str(value)
    if not 1 <= len(key) <= MAX_EVENT_KEY_CHARACTERS:
        reason = f"has {len(key)} characters; 1 to {MAX_EVENT_KEY_CHARACTERS} are allowed"
        raise EventKeyInvalid(node_id=node_id, reason=reason)
    if not key.isprintable():
        raise EventKeyInvalid(node_id=node_id, reason="holds a character that cannot be printed")
    return key

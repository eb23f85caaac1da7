"""The activities of steps in doubt: showing a person what may have happened, and recording what they say of it.

All of it may be repeated without harm: a gate's id follows from the step and its fence, and a word that is recorded
finds the step at a higher fence.
"""

from typing import Any

from temporalio import activity

from activities.agent_conversation import call_arguments
from activities.agent_steps import as_call_output, is_agent_call, leaf_of_step
from activities.arguments import resolve_arguments
from activities.gate_payloads import (
    CLOSE_DOUBT,
    DOUBT_RECORDED,
    DOUBT_SETTLED,
    OPEN_DOUBT,
    CloseDoubtCall,
    DoubtCall,
    DoubtClosed,
    OpenedGate,
)
from activities.payloads import StepCall, StepDone
from activities.resources import Resources
from activities.step_identity import step_key
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json, json_digest, keyed_digest, sha256_hex
from agentflow.statements import execute_each
from runs.doubt_repository import Doubt, DoubtRepository
from runs.facts import extract_facts
from runs.gate_models import DoubtResolution, GateKind, GateState, NewGate
from runs.gate_repository import GateRepository
from runs.journal_repository import effect_key
from runs.models import StepKey, StepOutput

_STATES = {
    DoubtResolution.PERFORMED: GateState.APPROVED,
    DoubtResolution.NOT_PERFORMED: GateState.REJECTED,
    DoubtResolution.FAIL: GateState.REJECTED,
}


def doubt_gate_id(key: StepKey, *, fence: int) -> str:
    """The one gate of one doubt: when the step is performed again and is in doubt again, that is another."""
    return f"gate_{keyed_digest(effect_key(key), fence, 'in_doubt')[:32]}"


class DoubtActivities:
    """What the interpreter asks for around a step that ended without a word."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=OPEN_DOUBT)
    async def open_doubt(self, call: DoubtCall) -> OpenedGate:
        """Opens the gate of a step that may have happened; says when there is nothing to wait for."""
        key = step_key(call.step)
        async with self._resources.database.transaction() as session:
            found = await DoubtRepository(session).open(key)
        if not isinstance(found, Doubt):
            return OpenedGate(gate_id="", kind=DOUBT_SETTLED if found is None else DOUBT_RECORDED)
        if found.is_new:
            self._resources.metrics.record_doubt(effect_class=found.effect_class.value)
        subject = await self._subject(call.step, found)
        new = NewGate(
            gate_id=doubt_gate_id(key, fence=found.fence),
            key=key,
            kind=GateKind.IN_DOUBT,
            workflow_id=activity.info().workflow_id,
            message=subject["message"][:2_000],
            subject_digest=await self._resources.blobs.put_json(
                org_id=key.org_id, value=subject, now=self._resources.clock.now(), held_by=key.run_id
            ),
        )
        async with self._resources.database.transaction() as session:
            gate, _ = await GateRepository(session).open(new)
        return OpenedGate(gate_id=gate.gate_id, kind=gate.kind.value, subject_digest=gate.subject_digest)

    @activity.defn(name=CLOSE_DOUBT)
    async def close_doubt(self, call: CloseDoubtCall) -> DoubtClosed:
        """Records a person's word; gives the step's output when it has one."""
        decision, resolution = call.decision, DoubtResolution(str(call.decision.resolution))
        comment = None
        if decision.comment_digest is not None:
            comment = str(await self._resources.json_value(org_id=call.step.run.org_id, digest=decision.comment_digest))
        done = None
        if resolution is DoubtResolution.PERFORMED:
            done = await self._performed(call)
        elif resolution is DoubtResolution.NOT_PERFORMED:
            await self._not_performed(call)
        async with self._resources.database.transaction() as session:
            await GateRepository(session).close(
                org_id=call.step.run.org_id,
                gate_id=call.gate.gate_id,
                state=_STATES[resolution],
                decided_by=decision.decided_by,
                decision_id=decision.decision_id,
                comment=comment,
            )
        self._resources.metrics.record_resolved_doubt(resolution=resolution.value)
        return DoubtClosed(is_given_up=resolution is DoubtResolution.FAIL, done=done)

    async def _subject(self, call: StepCall, doubt: Doubt) -> dict[str, Any]:
        plan = await self._resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
        node = plan.node(call.node_id)
        if is_agent_call(call):
            arguments = await call_arguments(self._resources, call)
        else:
            arguments = await resolve_arguments(self._resources, call, node)
        item = "" if call.item_index is None else f"[{call.item_index}]"
        where = f"{call.node_id}{item}" if call.part is None else f"{call.node_id}{item}/{call.part}"
        target = leaf_of_step(node, call).target
        return {
            "message": f"{where}: {target} may have been performed, or not ({doubt.reason})",
            "show": {
                "tool": target,
                "arguments": arguments,
                "arguments_digest": json_digest(arguments),
                "effect_class": doubt.effect_class.value,
                "effect_key": effect_key(step_key(call)),
                "attempt": doubt.attempt,
                "started_at": doubt.started_at.isoformat(),
            },
        }

    async def _performed(self, call: CloseDoubtCall) -> StepDone | None:
        step, digest = call.step, call.decision.output_digest
        org_id, key = step.run.org_id, step_key(step)
        output = None if digest is None else await self._resources.json_value(org_id=org_id, digest=digest)
        output = as_call_output(step, output)
        content = canonical_json(output)
        plan = await self._resources.plan(org_id=org_id, digest=step.run.plan_digest)
        wanted = () if is_agent_call(step) else plan.node(step.node_id).facts
        facts = extract_facts(output, wanted)
        own = StepOutput(digest=sha256_hex(content), size_bytes=len(content), facts=facts)
        stored = await self._resources.blobs.put_statement(
            org_id=org_id,
            digest=own.digest,
            content=content,
            media_type=JSON_MEDIA_TYPE,
            now=self._resources.clock.now(),
        )
        async with self._resources.database.transaction() as session:
            doubts = DoubtRepository(session)
            await execute_each(session, [stored])
            doubt = await doubts.find(key)
            if isinstance(doubt, Doubt) and doubt_gate_id(key, fence=doubt.fence) == call.gate.gate_id:
                await doubts.performed(key, fence=doubt.fence, output=own)
            # Its own result, when the attempt has brought it after all.
            kept = await doubts.find(key)
        if not isinstance(kept, StepOutput):
            return None
        return StepDone(digest=kept.digest, size_bytes=kept.size_bytes, facts=dict(kept.facts))

    async def _not_performed(self, call: CloseDoubtCall) -> None:
        key = step_key(call.step)
        async with self._resources.database.transaction() as session:
            doubts = DoubtRepository(session)
            doubt = await doubts.find(key)
            if isinstance(doubt, Doubt) and doubt_gate_id(key, fence=doubt.fence) == call.gate.gate_id:
                await doubts.not_performed(key, fence=doubt.fence, decided_by=call.decision.decided_by)

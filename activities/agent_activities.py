"""The end of an agent: what its last turn answered, recorded as the node's own result."""

from typing import Any

from temporalio import activity

from activities.payloads import SETTLE_AGENT, SettleCall, StepDone
from activities.resources import Resources
from activities.step_identity import step_request
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json, sha256_hex
from agentflow.statements import execute_each
from runs.facts import extract_facts, finish_fact
from runs.journal_repository import EffectJournal
from runs.models import StepOutput, StepUsage
from scl.service import SecureContext


class AgentActivities:
    """Bookkeeping of agents; it may be repeated without harm."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=SETTLE_AGENT)
    async def settle_agent(self, call: SettleCall) -> StepDone:
        """Records the answer of the turn with the call's digest; raises VaultKeyMismatch."""
        resources, step, org_id = self._resources, call.step, call.step.run.org_id
        plan = await resources.plan(org_id=org_id, digest=step.run.plan_digest)
        node = plan.node(step.node_id)
        turn = await resources.json_value(org_id=org_id, digest=call.digest)
        answer: Any = turn["answer"]
        async with resources.database.transaction() as session:
            if node.leaf.policy.restore:
                secure = SecureContext(session, resources.vault, resources.clock)
                answer = await secure.restore(org_id=org_id, run_id=step.run.run_id, node_id=step.node_id, value=answer)
            content = canonical_json(answer)
            output = StepOutput(
                digest=sha256_hex(content),
                size_bytes=len(content),
                facts={**extract_facts(answer, node.facts), **finish_fact(turn.get("finish_reason"))},
            )
            stored = await resources.blobs.put_statement(
                org_id=org_id,
                digest=output.digest,
                content=content,
                media_type=JSON_MEDIA_TYPE,
                now=resources.clock.now(),
            )
            await execute_each(session, [stored])
            request = step_request(step, kind=call.kind, attempt=1)
            kept = await EffectJournal(session).record(request, output=output, usage=StepUsage(), seconds=0.0)
        return StepDone(digest=kept.digest, size_bytes=kept.size_bytes, facts=dict(kept.facts))

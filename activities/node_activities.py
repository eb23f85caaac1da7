"""What stands around the parts of a node: recording a run below this one, and what the parts came to as its result."""

from temporalio import activity

from activities.arguments import resolve_arguments
from activities.payloads import (
    OPEN_CHILD,
    SETTLE_NODE,
    ChildCall,
    OpenedChild,
    RunRef,
    SettleCall,
    StepDone,
)
from activities.resources import Resources
from activities.step_identity import child_run_id, step_request
from agentflow.blobs import JSON_MEDIA_TYPE, hold_like_statement, hold_statement
from agentflow.digest import canonical_json, sha256_hex
from agentflow.statements import Statement, execute_each
from runs.errors import RunNotFound
from runs.facts import extract_facts
from runs.journal_repository import EffectJournal
from runs.models import NewRun, RunParent, StepOutput, StepUsage
from runs.plan import Plan, encode_plan
from runs.repository import RunRepository
from scl.schema_validation import validate


class NodeActivities:
    """Bookkeeping of nodes that are more than one step; all of it may be repeated without harm."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=OPEN_CHILD)
    async def open_child(self, call: ChildCall) -> OpenedChild:
        """Records the run below a step, with its inputs and its plan; raises ExpressionFailed or SchemaViolation."""
        step, org_id = call.step, call.step.run.org_id
        own = await self._resources.plan(org_id=org_id, digest=step.run.plan_digest)
        node = own.node(step.node_id)
        plan = node.leaf_of(step.part).plan
        if plan is None:
            raise LookupError("the plan has no workflow for this step")
        inputs = await resolve_arguments(self._resources, step, node)
        if plan.inputs_schema is not None:
            validate(inputs, plan.inputs_schema, where=f"inputs of the run below {step.node_id!r}")
        plan_digest, plan_content = encode_plan(plan)
        inputs_content = canonical_json(inputs)
        inputs_digest = sha256_hex(inputs_content)
        stored = [
            await self._stored(org_id, plan_digest, plan_content),
            await self._stored(org_id, inputs_digest, inputs_content),
        ]
        reference = RunRef(
            org_id=org_id,
            run_id=child_run_id(step),
            plan_digest=plan_digest,
            inputs_digest=inputs_digest,
            root_run_id=step.run.root_run_id or step.run.run_id,
        )
        hold = hold_statement(org_id=org_id, value=inputs, run_id=reference.run_id)
        async with self._resources.database.transaction() as session:
            known = await EffectJournal(session).recorded(step_request(step, kind="workflow", attempt=1))
            if known is not None:
                # An item that an earlier run has paid for: nothing is to run.
                return OpenedChild(run=reference, name=_name_of(plan), outputs_digest=known.digest)
            await execute_each(session, [*stored, *([hold] if hold is not None else [])])
            runs = RunRepository(session)
            above = await runs.get_run(org_id=org_id, run_id=step.run.run_id)
            if above is None:
                raise RunNotFound(run_id=step.run.run_id)
            is_inline = node.leaf_of(step.part).target == "inline"
            spec = None if is_inline else await runs.get_spec(org_id=org_id, name=plan.name, version=plan.version)
            new_run = NewRun(
                run_id=reference.run_id,
                org_id=org_id,
                workflow_name=plan.name,
                workflow_version=plan.version,
                spec_digest=above.spec_digest if spec is None else spec.digest,
                plan_digest=plan_digest,
                inputs_digest=inputs_digest,
                idempotency_key=None,
                budget_micro_usd=None,
                parent=RunParent(run_id=step.run.run_id, node_id=step.node_id, root_run_id=str(reference.root_run_id)),
            )
            recorded = await runs.add_child_run(new_run, now=self._resources.clock.now())
        return OpenedChild(run=reference, name=_name_of(plan), outputs_digest=recorded.outputs_digest)

    @activity.defn(name=SETTLE_NODE)
    async def settle_node(self, call: SettleCall) -> StepDone:
        """Records a result as that of the node itself, with the facts that scheduling needs of it."""
        step, org_id = call.step, call.step.run.org_id
        plan = await self._resources.plan(org_id=org_id, digest=step.run.plan_digest)
        node = plan.node(step.node_id)
        value = await self._resources.json_value(org_id=org_id, digest=call.digest)
        output = StepOutput(
            digest=call.digest,
            size_bytes=len(canonical_json(value)),
            facts=extract_facts(value, node.facts, owner=f"{step.node_id}.output"),
        )
        request = step_request(step, kind=call.kind, attempt=1)
        async with self._resources.database.transaction() as session:
            if call.child_run_id is not None:
                held = hold_like_statement(org_id=org_id, earlier_run_id=call.child_run_id, run_id=step.run.run_id)
                await execute_each(session, [held])
            kept = await EffectJournal(session).record(request, output=output, usage=StepUsage(), seconds=0.0)
        return StepDone(digest=kept.digest, size_bytes=kept.size_bytes, facts=dict(kept.facts))

    async def _stored(self, org_id: str, digest: str, content: bytes) -> Statement:
        return await self._resources.blobs.put_statement(
            org_id=org_id,
            digest=digest,
            content=content,
            media_type=JSON_MEDIA_TYPE,
            now=self._resources.clock.now(),
        )


def _name_of(plan: Plan) -> str:
    return f"{plan.name} version {plan.version}"

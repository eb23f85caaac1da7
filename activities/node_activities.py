"""What stands around the parts of a node: recording a run below this one, and what the parts came to as its result."""

from dataclasses import replace
from functools import partial
from typing import Any

from temporalio import activity

from activities.arguments import read_scope, resolve_arguments
from activities.payloads import (
    EVALUATE_CONDITION,
    FAIL_CHILD,
    OPEN_CHILD,
    SETTLE_NODE,
    ChildCall,
    ChildFailure,
    ConditionCall,
    OpenedChild,
    RunRef,
    SettleCall,
    StepCall,
    StepDone,
    Verdict,
)
from activities.resources import Resources
from activities.step_identity import child_run_id, step_request
from agentflow.blobs import JSON_MEDIA_TYPE, digests_in, hold_like_statement, hold_statement
from agentflow.digest import Json, sha256_hex
from agentflow.heavy_work import run_apart
from agentflow.large_values import beside_loop, canonical_json_in_pieces
from agentflow.statements import Statement, execute_each
from agentflow.storable_text import storable_text
from runs.errors import RunNotFound
from runs.expressions import STEP, parse_expression
from runs.facts import extract_facts
from runs.journal_repository import EffectJournal
from runs.models import NewRun, Run, RunParent, StepOutput, StepState, StepUsage
from runs.plan import Plan, encode_plan
from runs.recorded_runs import RecordedRuns
from runs.repository import RunRepository
from runs.rerun_plan import ReuseManifest, changed_names, encode_manifest, plan_rerun
from scl.schema_defaults import with_defaults
from scl.schema_validation import validate_aside


class NodeActivities:
    """Bookkeeping of nodes that are more than one step; all of it may be repeated without harm."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._recorded = RecordedRuns(resources.database, resources.blobs)

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
            schema, given = plan.inputs_schema, inputs
            inputs = await run_apart(lambda: with_defaults(given, schema), owner=org_id)
            where = f"inputs of the run below {step.node_id!r}"
            await validate_aside(inputs, plan.inputs_schema, where=where, owner=org_id)
        plan_digest, plan_content = encode_plan(plan)
        inputs_content, named = await beside_loop(lambda: _as_stored(inputs), on=inputs, owner=org_id)
        inputs_digest = sha256_hex(inputs_content)
        stored = [
            await self._stored(org_id, plan_digest, plan_content),
            await self._stored(org_id, inputs_digest, inputs_content),
        ]
        manifest = await self._taken_over(step, plan, inputs)
        reuse_digest = None
        if manifest is not None:
            reuse_digest, reuse_content = encode_manifest(manifest)
            stored.append(await self._stored(org_id, reuse_digest, reuse_content))
        reference = RunRef(
            org_id=org_id,
            run_id=child_run_id(step),
            plan_digest=plan_digest,
            inputs_digest=inputs_digest,
            root_run_id=step.run.root_run_id or step.run.run_id,
            asks_anew=step.run.asks_anew,
        )
        holds = await self._holds(reference, named, manifest, reuse_digest)
        async with self._resources.database.transaction() as session:
            known = await EffectJournal(session).recorded(step_request(step, kind="workflow", attempt=1))
            if known is not None:
                # An item that an earlier run has paid for: nothing is to run.
                return OpenedChild(run=reference, name=_name_of(plan), outputs_digest=known.digest)
            await execute_each(session, [*stored, *holds])
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
                rerun_of=manifest.of if manifest is not None else None,
                reuse_digest=reuse_digest,
                parent=RunParent(run_id=step.run.run_id, node_id=step.node_id, root_run_id=str(reference.root_run_id)),
            )
            recorded = await runs.add_child_run(new_run, now=self._resources.clock.now())
        # What is recorded holds: an earlier attempt may have written the plan in an older form.
        reference = replace(reference, plan_digest=recorded.plan_digest, inputs_digest=recorded.inputs_digest)
        return OpenedChild(run=reference, name=_name_of(plan), outputs_digest=recorded.outputs_digest)

    @activity.defn(name=SETTLE_NODE)
    async def settle_node(self, call: SettleCall) -> StepDone:
        """Records a result as that of the node itself, with the facts that scheduling needs of it."""
        step, org_id = call.step, call.step.run.org_id
        plan = await self._resources.plan(org_id=org_id, digest=step.run.plan_digest)
        node = plan.node(step.node_id)
        request = step_request(step, kind=call.kind, attempt=1)
        result = node.leaf_of(step.part).result if call.child_run_id is not None else None
        if result is not None:
            async with self._resources.database.transaction() as session:
                known = await EffectJournal(session).recorded(request)
            if known is not None:
                return StepDone(digest=known.digest, size_bytes=known.size_bytes, facts=dict(known.facts))
        value = await self._resources.json_value(org_id=org_id, digest=call.digest)
        value = value if result is None else value[result]
        content = await beside_loop(lambda: canonical_json_in_pieces(value), on=value, owner=org_id)
        digest, statements = call.digest, list[Statement]()
        if result is not None:
            digest = sha256_hex(content)
            statements.append(await self._stored(org_id, digest, content))
        output = StepOutput(
            digest=digest, size_bytes=len(content), facts={**extract_facts(value, node.facts), **call.facts}
        )
        if call.child_run_id is not None:
            statements.append(
                hold_like_statement(org_id=org_id, earlier_run_id=call.child_run_id, run_id=step.run.run_id)
            )
        async with self._resources.database.transaction() as session:
            await execute_each(session, statements)
            kept = await EffectJournal(session).record(request, output=output, usage=StepUsage(), seconds=call.seconds)
        return StepDone(digest=kept.digest, size_bytes=kept.size_bytes, facts=dict(kept.facts))

    @activity.defn(name=FAIL_CHILD)
    async def fail_child(self, call: ChildFailure) -> None:
        """Records that the run below a step gave nothing, as the step's own failure."""
        request = step_request(call.step, kind="workflow", attempt=1)
        async with self._resources.database.transaction() as session:
            await EffectJournal(session).record_failure(
                request,
                state=StepState.FAILED,
                error_code=call.error_code,
                error_message=storable_text(call.error_message),
                seconds=call.seconds,
            )

    @activity.defn(name=EVALUATE_CONDITION)
    async def evaluate_condition(self, call: ConditionCall) -> Verdict:
        """Evaluates a condition on whole outputs; raises ExpressionFailed or ExpressionTooCostly."""
        scope = await read_scope(self._resources, call.run, call.outputs)
        scope.update(call.local)
        for name, digest in call.local_refs.items():
            value = None if digest is None else self._resources.json_value(org_id=call.run.org_id, digest=digest)
            scope[name] = None if value is None else await value
        condition = parse_expression(call.condition)
        holds = partial(condition.holds, scope, STEP.meter(), dialect=call.dialect)
        return Verdict(holds=await run_apart(holds, owner=call.run.org_id))

    async def _taken_over(self, step: StepCall, plan: Plan, inputs: dict[str, Any]) -> ReuseManifest | None:
        """What the run below takes over from the one that an earlier run had there; None when there is nothing."""
        earlier = await self._earlier_run(step)
        if earlier is None:
            return None
        org_id = earlier.org_id
        earlier_plan = await self._resources.plan(org_id=org_id, digest=earlier.plan_digest)
        earlier_inputs = await self._resources.json_value(org_id=org_id, digest=earlier.inputs_digest)
        results = await self._recorded.results_of(earlier, [node.node_id for node in earlier_plan.nodes])
        decisions = plan_rerun(
            earlier=earlier_plan,
            plan=plan,
            results=results,
            from_nodes=(),
            changed_inputs=changed_names(earlier_inputs, inputs),
        )
        return await self._recorded.manifest(earlier, decisions, results)

    async def _earlier_run(self, step: StepCall) -> Run | None:
        """The finished run below this step in the run whose parts its node takes over."""
        org_id = step.run.org_id
        # Asked of every run below, of which there may be many: what the run above has cost is not looked up here.
        async with self._resources.database.transaction() as session:
            digest = await RunRepository(session).reuse_digest(org_id=org_id, run_id=step.run.run_id)
        if digest is None:
            return None
        source = (await self._recorded.manifest_at(org_id, digest)).redrive.get(step.node_id)
        if source is None:
            return None
        run_id = child_run_id(replace(step, run=replace(step.run, run_id=source)))
        async with self._resources.database.transaction() as session:
            earlier = await RunRepository(session).get_run(org_id=org_id, run_id=run_id)
        return earlier if earlier is not None and earlier.state.is_final else None

    async def _holds(
        self, run: RunRef, named: list[str], manifest: ReuseManifest | None, reuse_digest: str | None
    ) -> list[Statement]:
        """Content that is kept for as long as the run: what its inputs name, and what it takes over."""
        values: list[Json] = [list[Json](named)]
        if manifest is not None:
            pages = await self._recorded.pages_of(run.org_id, manifest)
            values += [reuse_digest, [result.output_digest for result in manifest.nodes.values()], pages]
        found = [hold_statement(org_id=run.org_id, value=value, run_id=run.run_id) for value in values]
        holds = [statement for statement in found if statement is not None]
        if manifest is not None:
            # The earlier run may be removed one day; what its outputs name in their turn stays with this one.
            holds.append(hold_like_statement(org_id=run.org_id, earlier_run_id=manifest.of, run_id=run.run_id))
        return holds

    async def _stored(self, org_id: str, digest: str, content: bytes) -> Statement:
        return await self._resources.blobs.put_statement(
            org_id=org_id,
            digest=digest,
            content=content,
            media_type=JSON_MEDIA_TYPE,
            now=self._resources.clock.now(),
        )


def _as_stored(inputs: dict[str, Any]) -> tuple[bytes, list[str]]:
    """A run's inputs as they are stored, and the digests of other content in them."""
    return canonical_json_in_pieces(inputs), sorted(set(digests_in(inputs)))


def _name_of(plan: Plan) -> str:
    return f"{plan.name} version {plan.version}"

"""Running a run again: from any node, failed ones only, with other inputs or an edited document.

A re-run is a run of its own that takes recorded outputs over by digest and pays only for what must be done again. The
run that it repeats is never touched.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from agentflow.blobs import BlobStore
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.digest import Json, json_digest
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from runs.admission_models import NO_CAPS, AdmissionDefaults
from runs.errors import IdempotencyKeyReused, RerunEmpty, RunNotFinished, RunNotFound
from runs.models import NewRun, Run, RunState
from runs.plan import EncodedPlan
from runs.plan_outline import PlanOutline
from runs.recorded_runs import FailedItems, RecordedRuns
from runs.repository import RunRepository
from runs.rerun_plan import NodeDecision, NodeResult, encode_manifest
from workflows.document_compilation import DocumentCompiler
from workflows.plan_outlines import PlanOutlines
from workflows.rerun_work import Repetition, changed_inputs, decide
from workflows.run_inputs import StoredInputs
from workflows.run_recording import Recorded, known_run, record_new_run, store_statements
from workflows.run_start import start_each
from workflows.tenant_work import weight_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunRequest:
    """A wish to run a run again."""

    run_id: str
    #: These run again, with all that comes after them.
    from_nodes: tuple[str, ...] = ()
    #: Refused when anything that succeeded would have to run again.
    failed_only: bool = False
    #: Items that failed, and were tolerated, run again, with all that comes after their maps.
    failed_items: bool = False
    #: Path of an input, such as `document_key` or `options.depth` → its value.
    changes: Mapping[str, Any]
    #: An edited document; None keeps the run's own plan.
    document: str | None = None
    #: None is the limit that the earlier run had.
    budget_micro_usd: MicroUsd | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunPlan:
    """What a re-run would take over, and what it would do."""

    rerun_of: str
    decisions: tuple[NodeDecision, ...]
    #: What the nodes that run again cost in the earlier run; nodes that did not run there are not in it.
    estimated_cost_micro_usd: MicroUsd
    #: Nodes that run again and have no earlier cost to go by.
    unknown_cost_nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """A re-run that is recorded."""

    run: Run
    #: False when its idempotency key had started it before.
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A re-run worked out, about to be recorded."""

    earlier: Run
    plan: EncodedPlan
    outline: PlanOutline
    spec_digest: str
    inputs: StoredInputs
    results: Mapping[str, NodeResult]
    decisions: tuple[NodeDecision, ...]
    #: Map with items that failed → what is known of them; empty where these are not to run again.
    failed_items: Mapping[str, FailedItems]


class RerunService:
    """Works out re-runs, and starts them."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        temporal: Client,
        clock: Clock,
        compiler: DocumentCompiler | None = None,
        *,
        admission: AdmissionDefaults = NO_CAPS,
        plans: PlanOutlines | None = None,
    ) -> None:
        """`compiler` knows what documents may name: what ships with AgentFlow, unless one is given."""
        self._database, self._blobs, self._temporal, self._clock = database, blobs, temporal, clock
        self._compiler, self._admission = compiler or DocumentCompiler(clock), admission
        self._recorded, self._plans = RecordedRuns(database, blobs), plans or PlanOutlines(blobs)

    async def preview(self, *, org_id: str, request: RerunRequest) -> RerunPlan:
        """What the re-run would do, starting nothing; raises as `rerun`, RerunEmpty aside."""
        prepared = await self._prepare(org_id, request)
        again = [decision for decision in prepared.decisions if not decision.reused]
        return RerunPlan(
            rerun_of=request.run_id,
            decisions=prepared.decisions,
            estimated_cost_micro_usd=MicroUsd(sum(decision.earlier_cost_micro_usd or 0 for decision in again)),
            unknown_cost_nodes=tuple(decision.node_id for decision in again if decision.earlier_cost_micro_usd is None),
        )

    async def rerun(self, *, org_id: str, request: RerunRequest) -> Rerun:
        """Records the re-run and starts it, or lets it wait for its turn.

        Raises RunNotFound, RunNotFinished, RerunInvalid, RerunEmpty, SpecUnreadable, SpecInvalid, InputsInvalid,
        RunQueueFull or IdempotencyKeyReused.
        """
        earlier = await self._earlier_rerun(org_id, request)
        recorded = known_run(earlier) if earlier is not None else await self._record(org_id, request)
        await start_each(self._temporal, recorded.admitted)
        return Rerun(run=recorded.run, created=earlier is None)

    async def _earlier_rerun(self, org_id: str, request: RerunRequest) -> Run | None:
        """The run that the request's key started; raises IdempotencyKeyReused when that was another wish."""
        key = request.idempotency_key
        if key is None:
            return None
        async with self._database.transaction() as session:
            known = await RunRepository(session).get_run_by_key(org_id=org_id, idempotency_key=key)
        if known is None:
            return None
        manifest = await self._recorded.manifest_of(known)
        if manifest is None or manifest.wish_digest != _wish_digest(request):
            raise IdempotencyKeyReused(idempotency_key=key, run_id=known.run_id)
        return known

    async def _record(self, org_id: str, request: RerunRequest) -> Recorded:
        prepared = await self._prepare(org_id, request)
        plan, inputs, earlier = prepared.plan, prepared.inputs, prepared.earlier
        is_same = (plan.digest, inputs.digest) == (earlier.plan_digest, earlier.inputs_digest)
        # Where every node is taken over, other outputs may still be made of them.
        if is_same and earlier.state is RunState.SUCCEEDED and all(each.reused for each in prepared.decisions):
            raise RerunEmpty(run_id=request.run_id)
        manifest = await self._recorded.manifest(
            earlier,
            prepared.decisions,
            prepared.results,
            failed_items=prepared.failed_items,
            wish_digest=_wish_digest(request),
        )
        reuse_digest, reuse_content = encode_manifest(manifest)
        budget = request.budget_micro_usd
        if budget is None:
            budget = await self._budget_of(earlier)
        new_run = NewRun(
            run_id=new_id("run"),
            org_id=org_id,
            workflow_name=prepared.outline.name,
            workflow_version=prepared.outline.version,
            spec_digest=prepared.spec_digest,
            plan_digest=plan.digest,
            inputs_digest=inputs.digest,
            idempotency_key=request.idempotency_key,
            budget_micro_usd=budget,
            rerun_of=request.run_id,
            reuse_digest=reuse_digest,
            priority=prepared.outline.priority,
            fairness_key=prepared.outline.fairness_key,
        )
        contents = {plan.digest: plan.content, inputs.digest: inputs.content, reuse_digest: reuse_content}
        stored = await store_statements(self._blobs, self._clock, org_id=org_id, contents=contents)
        # The earlier run may be removed one day; what is taken over from it stays.
        holds: list[Json] = [
            inputs.named,
            reuse_digest,
            json.loads(reuse_content),
            await self._recorded.pages_of(org_id, manifest),
        ]
        async with self._database.transaction() as session:
            recorded = await record_new_run(
                session, self._clock, new_run, stored=stored, holds=holds, defaults=self._admission
            )
        if recorded is not None:
            return recorded
        raced = await self._earlier_rerun(org_id, request)
        if raced is None:
            raise RunNotFound(run_id=new_run.run_id)
        return known_run(raced)

    async def _budget_of(self, run: Run) -> MicroUsd | None:
        """The limit that a run had: of one below another, that of the run at the top, which paid for it."""
        if run.root_run_id is None:
            return run.budget_micro_usd
        async with self._database.transaction() as session:
            root = await RunRepository(session).get_run(org_id=run.org_id, run_id=run.root_run_id)
        return root.budget_micro_usd if root is not None else None

    async def _prepare(self, org_id: str, request: RerunRequest) -> _Prepared:
        async with self._database.transaction() as session:
            earlier = await RunRepository(session).get_run(org_id=org_id, run_id=request.run_id)
        if earlier is None:
            raise RunNotFound(run_id=request.run_id)
        if not earlier.state.is_final:
            raise RunNotFinished(run_id=request.run_id, state=earlier.state.value)
        contents = await self._blobs.get_all(org_id=org_id, digests=[earlier.plan_digest, earlier.inputs_digest])
        earlier_plan = plan = EncodedPlan(earlier.plan_digest, contents[earlier.plan_digest])
        earlier_outline = outline = await self._plans.get(org_id=org_id, digest=earlier.plan_digest)
        spec_digest = earlier.spec_digest
        if request.document is not None:
            compiled = await self._compiler.compile(self._database, org_id=org_id, text=request.document)
            plan, outline, spec_digest = compiled.plan, compiled.outline, compiled.digest
            self._plans.keep(outline, org_id=org_id, digest=plan.digest)
        changed = await self._compiler.run(
            changed_inputs,
            contents[earlier.inputs_digest],
            request.changes,
            outline.inputs_schema,
            not request.changes and request.document is None,
            request.run_id,
            org_id=org_id,
            size_bytes=weight_of(contents[earlier.inputs_digest], request.changes, outline.inputs_schema),
        )
        results = await self._recorded.results_of(earlier, [node.node_id for node in earlier_outline.nodes])
        failed_items = await self._recorded.failed_items_of(earlier) if request.failed_items else {}
        wish = Repetition(
            run_id=request.run_id,
            earlier=earlier_plan,
            plan=plan,
            results=results,
            from_nodes=request.from_nodes,
            failed_only=request.failed_only,
            changed_inputs=changed.names,
            failed_items={node_id: missed.count for node_id, missed in failed_items.items()},
        )
        decisions = await self._compiler.run(decide, wish, org_id=org_id, size_bytes=weight_of(earlier_plan, plan))
        return _Prepared(
            earlier=earlier,
            plan=plan,
            outline=outline,
            spec_digest=spec_digest,
            inputs=changed.inputs,
            results=results,
            decisions=decisions,
            failed_items=failed_items,
        )


def _wish_digest(request: RerunRequest) -> str:
    """Of everything that was asked for."""
    wish: dict[str, Json] = {
        "of": request.run_id,
        "from": sorted(request.from_nodes),
        "failed_only": request.failed_only,
        "changes": dict(request.changes),
        "document": request.document,
        "budget": request.budget_micro_usd,
    }
    # As it was before there was this wish: keys of then are still known.
    return json_digest({**wish, "failed_items": True} if request.failed_items else wish)

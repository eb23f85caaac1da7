"""The bookkeeping of a run: how it opens, how a map's items become a list, how it closes."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.arguments import resolve_outputs
from activities.errors import ItemMissing
from activities.map_payloads import COLLECT_ITEMS, CollectCall
from activities.map_results import facts_of_paged
from activities.packing import pack_opened
from activities.payloads import (
    CLOSE_RUN,
    OPEN_RUN,
    CloseCall,
    NodeOutcome,
    OpenedRun,
    RunRef,
    RunResult,
    StepDone,
)
from activities.recorded_run import require_own_workflow
from activities.resources import Resources
from activities.skeleton import skeleton_of
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json
from agentflow.errors import AgentflowError
from observability.repository import SpanRepository
from observability.telemetry.span_record import Outcome, SpanRecord, SpanStatus, map_span, run_span
from promptops.service import PromptService
from runs.admission import Admission
from runs.admission_models import admission_defaults
from runs.doubt_repository import DoubtRepository
from runs.errors import RunNotFound
from runs.event_repository import EventRepository
from runs.facts import extract_facts, finish_fact
from runs.gate_repository import GateRepository
from runs.map_repository import MapJournal
from runs.models import Run, RunState, StepKey
from runs.plan import PROMPTED_KINDS, NodeState, Plan
from runs.repository import RunRepository
from runs.rerun_plan import ReuseManifest, decode_manifest
from runs.step_repository import MapInterval, StepRepository
from scl.service import SecureContext

#: Starts runs that were let in; what it cannot start the sweeper does.
StartRuns = Callable[[Iterable[Run]], Awaitable[None]]

_SPAN_STATUS: dict[str, SpanStatus] = {"failed": "error", "cancelled": "cancelled"}


class RunActivities:
    """What the interpreter asks for once per run or once per map; all of it may be repeated without harm."""

    def __init__(self, resources: Resources, start: StartRuns) -> None:
        self._resources, self._start = resources, start
        self._admission = admission_defaults(resources.settings)

    @activity.defn(name=OPEN_RUN)
    async def open_run(self, run: RunRef) -> OpenedRun:
        """Marks the run as running and gives what scheduling needs; resolves each prompt reference, once for all."""
        require_own_workflow(run)
        plan = await self._resources.plan(org_id=run.org_id, digest=run.plan_digest)
        inputs = await self._resources.json_value(org_id=run.org_id, digest=run.inputs_digest)
        async with self._resources.database.transaction() as session:
            prompts = PromptService(session, self._resources.clock)
            resolved: dict[str, str] = {}
            for leaf in (leaf for node in plan.nodes for leaf in node.all_leaves()):
                reference = leaf.target
                if leaf.kind in PROMPTED_KINDS and reference not in resolved:
                    found = await prompts.resolve(org_id=run.org_id, reference=reference, sticky_key=run.run_id)
                    resolved[reference] = f"{found.name}@{found.version}"
            repository = RunRepository(session)
            await repository.mark_running(org_id=run.org_id, run_id=run.run_id, now=self._resources.clock.now())
            recorded = await repository.get_run(org_id=run.org_id, run_id=run.run_id)
        if recorded is None:
            raise RunNotFound(run_id=run.run_id)
        reuse_digest = recorded.reuse_digest
        manifest = None
        if reuse_digest is not None:
            content = await self._resources.blobs.get(org_id=run.org_id, digest=reuse_digest)
            manifest = decode_manifest(reuse_digest, content)
        self._resources.metrics.record_run(state=RunState.RUNNING.value)
        opened = OpenedRun(
            nodes=[skeleton_of(node, resolved, self._resources.settings.llm_provider_queues) for node in plan.nodes],
            input_facts=extract_facts(inputs, plan.input_facts),
            output_reads=list(plan.output_reads),
            reused=await self._reused(run.org_id, plan, manifest) if manifest is not None else {},
            redrive=manifest.redrive if manifest is not None else {},
            concurrency=plan.concurrency or 0,
            is_paused=recorded.paused_at is not None,
            dialect=plan.dialect,
        )
        return pack_opened(opened)

    async def _reused(self, org_id: str, plan: Plan, manifest: ReuseManifest) -> dict[str, NodeOutcome]:
        """What an earlier run recorded, with the facts that this run's plan needs of it."""
        outcomes = {}
        for node_id, result in manifest.nodes.items():
            wanted, digest = plan.node(node_id).facts, result.output_digest
            facts: dict[str, Any] = {}
            if digest is not None and wanted:
                paged = await self._resources.paged_list(org_id=org_id, digest=digest)
                if paged is not None:
                    facts = facts_of_paged(plan.node(node_id), paged)
                else:
                    output = await self._resources.json_value(org_id=org_id, digest=digest)
                    facts = extract_facts(output, wanted)
            facts |= finish_fact(result.finish_reason)
            outcomes[node_id] = NodeOutcome(state=result.state.value, digest=digest, facts=facts, is_reused=True)
        return outcomes

    @activity.defn(name=COLLECT_ITEMS)
    async def collect_items(self, call: CollectCall) -> StepDone:
        """The outputs of a map's items, in order, as one stored list; raises ItemMissing."""
        run = call.run
        key = StepKey(org_id=run.org_id, run_id=run.run_id, node_id=call.node_id, generation=call.generation)
        plan = await self._resources.plan(org_id=run.org_id, digest=run.plan_digest)
        async with self._resources.database.transaction() as session:
            digests = await StepRepository(session).item_outputs(key)
        items: list[Any] = []
        for index in range(call.item_count):
            if index in digests:
                items.append(await self._resources.json_value(org_id=run.org_id, digest=digests[index]))
            elif call.allow_missing:
                items.append(None)
            else:
                raise ItemMissing(node_id=call.node_id, item_index=index)
        facts = extract_facts(items, plan.node(call.node_id).facts)
        # Held: no step row is going to name the list.
        digest, size_bytes = await self._store(run.org_id, items, held_by=run.run_id)
        async with self._resources.database.transaction() as session:
            await MapJournal(session).record_output(key, output_digest=digest, output_bytes=size_bytes)
        return StepDone(digest=digest, size_bytes=size_bytes, facts=facts)

    @activity.defn(name=CLOSE_RUN)
    async def close_run(self, call: CloseCall) -> RunResult:
        """Records how the run ended, with its outputs and spans, and starts the runs that waited for that."""
        require_own_workflow(call.run)
        state, code, message = RunState(call.state), call.error_code, call.error_message
        outputs_digest = None
        plan = await self._resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
        if state is RunState.SUCCEEDED:
            try:
                outputs_digest = await self._store_outputs(plan, call)
            except AgentflowError as error:
                state, code, message = RunState.FAILED, error.code, f"outputs: {error}"
        async with self._resources.database.transaction() as session:
            repository = RunRepository(session)
            await repository.finish_run(
                org_id=call.run.org_id,
                run_id=call.run.run_id,
                state=state,
                now=self._resources.clock.now(),
                node_states={node_id: NodeState(node_state) for node_id, node_state in call.node_states.items()},
                outputs_digest=outputs_digest,
                error_code=code,
                error_message=message,
                failed_node=call.failed_node,
            )
            doubts = await DoubtRepository(session).close_run(org_id=call.run.org_id, run_id=call.run.run_id)
            await GateRepository(session).cancel_of_run(org_id=call.run.org_id, run_id=call.run.run_id)
            await EventRepository(session).delete_of_run(org_id=call.run.org_id, run_id=call.run.run_id)
            run = await repository.get_run(org_id=call.run.org_id, run_id=call.run.run_id)
            if run is None:
                raise RunNotFound(run_id=call.run.run_id)
            spans = await self._spans(session, run, call)
            await SpanRepository(session).add(spans)
            # Last: what it locks is free again with the commit.
            admitted = await Admission(session, self._admission).admit_next(org_id=call.run.org_id)
        self._resources.spans.emit(spans)
        for effect_class in doubts:
            self._resources.metrics.record_doubt(effect_class=effect_class.value)
        self._resources.metrics.record_run(state=state.value)
        await self._start(admitted)
        return RunResult(state=run.state.value, outputs_digest=run.outputs_digest)

    async def _store_outputs(self, plan: Plan, call: CloseCall) -> str:
        outputs: Any = await resolve_outputs(self._resources, call.run, call.outputs, plan)
        if plan.restore_outputs:
            async with self._resources.database.transaction() as session:
                secure = SecureContext(session, self._resources.vault, self._resources.clock)
                outputs = await secure.restore(
                    org_id=call.run.org_id, run_id=call.run.run_id, node_id="outputs", value=outputs
                )
        digest, _ = await self._store(call.run.org_id, outputs)
        return digest

    async def _spans(self, session: AsyncSession, run: Run, call: CloseCall) -> list[SpanRecord]:
        ended_at = run.finished_at or self._resources.clock.now()
        spans = [
            run_span(
                org_id=run.org_id,
                run_id=run.run_id,
                name=run.workflow_name,
                version=run.workflow_version,
                budget_micro_usd=run.budget_micro_usd,
                outcome=_outcome(run.state.value, run.created_at, ended_at, run.error_code),
            )
        ]
        intervals = {
            interval.node_id: interval
            for interval in await StepRepository(session).map_intervals(org_id=run.org_id, run_id=run.run_id)
        }
        for opened in await MapJournal(session).maps_of(org_id=run.org_id, run_id=run.run_id):
            intervals[opened.node_id] = MapInterval(
                node_id=opened.node_id,
                started_at=opened.opened_at,
                finished_at=opened.closed_at,
                item_count=opened.item_count,
            )
        for interval in intervals.values():
            node_state = call.node_states.get(interval.node_id, NodeState.FAILED.value)
            outcome = _outcome(node_state, interval.started_at, interval.finished_at or ended_at, None)
            spans.append(
                map_span(
                    org_id=run.org_id,
                    run_id=run.run_id,
                    node_id=interval.node_id,
                    item_count=interval.item_count,
                    outcome=outcome,
                )
            )
        return spans

    async def _store(self, org_id: str, value: Any, *, held_by: str | None = None) -> tuple[str, int]:
        content = canonical_json(value)
        digest = await self._resources.blobs.put(
            org_id=org_id,
            content=content,
            media_type=JSON_MEDIA_TYPE,
            now=self._resources.clock.now(),
            held_by=held_by,
        )
        self._resources.remember_json(org_id=org_id, digest=digest, value=value, size_bytes=len(content))
        return digest, len(content)


def _outcome(state: str, started_at: datetime, ended_at: datetime, error_code: str | None) -> Outcome:
    status: Literal["ok", "error", "cancelled"] = _SPAN_STATUS.get(state, "ok")
    return Outcome(started_at=started_at, ended_at=ended_at, status=status, error_type=error_code)

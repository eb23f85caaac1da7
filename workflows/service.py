"""What can be done with workflows: register, submit, look at, cancel; what the HTTP API is a facade of.

A run is recorded in the same transaction as its inputs, its plan and its budget, and started after that. When the
process dies in between, or Temporal is away, the sweeper starts it: an accepted run is never lost.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client
from temporalio.service import RPCError

from activities.payloads import PAUSE, RESUME
from agentflow.blobs import BlobStore
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from observability.telemetry.logging import get_logger
from runs.admission_models import NO_CAPS, AdmissionDefaults
from runs.admission_repository import AdmissionRepository
from runs.errors import (
    IdempotencyKeyReused,
    RunAlreadyFinished,
    RunNotFound,
    RunNotReached,
    SpecNotFound,
    SpecVersionTaken,
)
from runs.models import NewRun, Run, RunState, Spec
from runs.plan import EncodedPlan
from runs.plan_outline import PlanOutline
from runs.repository import RunRepository
from runs.run_view import RunView
from workflows.document_compilation import DocumentCompiler
from workflows.document_work import CompiledDocument
from workflows.plan_outlines import PlanOutlines
from workflows.run_inputs import StoredInputs, accepted_inputs, filled_digest
from workflows.run_recording import Recorded, known_run, record_new_run, store_statements
from workflows.run_start import cancel_run, start_each, tell_run
from workflows.stored_run import StoredRunView, read_stored_run
from workflows.tenant_work import weight_of

_log = get_logger(__name__)

#: Above every run id.
_NO_RUN_AFTER = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A registered workflow and what it compiles to."""

    spec: Spec
    plan: EncodedPlan
    outline: PlanOutline
    #: False when this very content was registered before.
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A wish to run a workflow."""

    workflow_name: str
    #: None is the latest.
    workflow_version: int | None
    inputs: Mapping[str, Any]
    budget_micro_usd: MicroUsd | None
    #: Submitting twice with one key gives one run.
    idempotency_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submitted run."""

    stored: StoredRunView
    #: False when its idempotency key had started it before.
    created: bool

    @property
    def view(self) -> RunView:
        """How it stands, without inputs and outputs."""
        return self.stored.view


class WorkflowService:
    """The use cases of workflows and runs; each is one transaction of its own."""

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
        self._plans = plans or PlanOutlines(blobs)

    async def validate(self, *, org_id: str, text: str) -> EncodedPlan:
        """The plan of a document, storing nothing; raises SpecUnreadable or SpecInvalid."""
        return (await self._compiler.compile(self._database, org_id=org_id, text=text)).plan

    async def register(self, *, org_id: str, text: str) -> Registration:
        """Stores a version of a workflow; raises SpecUnreadable, SpecInvalid or SpecVersionTaken."""
        compiled = await self._compiler.compile(self._database, org_id=org_id, text=text)
        name, version = compiled.outline.name, compiled.outline.version
        async with self._database.transaction() as session:
            spec = Spec(
                org_id=org_id,
                name=name,
                version=version,
                digest=compiled.digest,
                document=text,
                created_at=self._clock.now(),
            )
            repository = RunRepository(session)
            if await repository.add_spec(spec):
                return _registration(spec, compiled, created=True)
            known = await repository.get_spec(org_id=org_id, name=name, version=version)
            if known is None or known.digest != spec.digest:
                latest = await repository.get_spec(org_id=org_id, name=name, version=None)
                raise SpecVersionTaken(
                    name=name, version=version, latest=latest.version if latest is not None else version
                )
            return _registration(known, compiled, created=False)

    async def get_workflow(self, *, org_id: str, name: str, version: int | None) -> Registration:
        """A registered version, the latest when `version` is None; raises SpecNotFound."""
        async with self._database.transaction() as session:
            spec = await self._spec(session, org_id, name, version)
        return _registration(spec, await self._compiled(spec), created=False)

    async def list_workflows(self, *, org_id: str, after: str, limit: int) -> list[Spec]:
        """The latest version of each workflow, by name; without the documents."""
        async with self._database.transaction() as session:
            return await RunRepository(session).list_specs(org_id=org_id, after=after, limit=limit)

    async def submit(self, *, org_id: str, request: RunRequest) -> Submission:
        """Records a run and starts it, or lets it wait for its turn.

        Raises SpecNotFound, InputsInvalid, IdempotencyKeyReused, RunQueueFull, or SpecInvalid when what the workflow
        names (a prompt) is no longer there.
        """
        recorded, created = await self._record(org_id, request)
        await start_each(self._temporal, recorded.admitted)
        stored = await self.get_stored_run(org_id=org_id, run_id=recorded.run.run_id)
        return Submission(stored=stored, created=created)

    async def record(self, *, org_id: str, request: RunRequest) -> Run:
        """Records a run without starting it; raises as `submit`. The sweeper starts it if nobody else does."""
        recorded, _ = await self._record(org_id, request)
        return recorded.run

    async def get_run(self, *, org_id: str, run_id: str) -> RunView:
        """How a run stands; raises RunNotFound."""
        stored = await self.get_stored_run(org_id=org_id, run_id=run_id)
        outputs = _shown(stored.outputs) if stored.outputs is not None else None
        return replace(stored.view, inputs=_shown(stored.inputs), outputs=outputs)

    async def get_stored_run(self, *, org_id: str, run_id: str) -> StoredRunView:
        """As `get_run`, with nothing parsed that can be large."""
        return await read_stored_run(self._database, self._blobs, self._plans, org_id=org_id, run_id=run_id)

    async def get_plan(self, *, org_id: str, run_id: str) -> EncodedPlan:
        """What a run runs; raises RunNotFound."""
        async with self._database.transaction() as session:
            digest = (await self._run(session, org_id, run_id)).plan_digest
        return EncodedPlan(digest, await self._blobs.get(org_id=org_id, digest=digest))

    async def list_runs(
        self,
        *,
        org_id: str,
        before: str | None,
        limit: int,
        workflow_name: str | None,
        state: RunState | None,
        parent_run_id: str | None = None,
    ) -> list[Run]:
        """Runs, latest first, older than the run id `before`: those at the top, or those right below one."""
        async with self._database.transaction() as session:
            return await RunRepository(session).list_runs(
                org_id=org_id,
                before=before or _NO_RUN_AFTER,
                limit=limit,
                workflow_name=workflow_name,
                state=state,
                parent_run_id=parent_run_id,
            )

    async def cancel(self, *, org_id: str, run_id: str) -> StoredRunView:
        """Asks a run to stop, which it does within seconds, or at once when it waits for its turn.

        Raises RunNotFound or RunAlreadyFinished.
        """
        async with self._database.transaction() as session:
            repository, now = RunRepository(session), self._clock.now()
            has_waited = await AdmissionRepository(session).cancel_queued(org_id=org_id, run_id=run_id, now=now)
            if not has_waited and not await repository.request_cancel(org_id=org_id, run_id=run_id, now=now):
                run = await self._run(session, org_id, run_id)
                raise RunAlreadyFinished(run_id=run_id, state=run.state.value)
        if has_waited:
            return await self.get_stored_run(org_id=org_id, run_id=run_id)
        try:
            await cancel_run(self._temporal, run_id=run_id)
        except (RPCError, RuntimeError) as error:
            # The wish is recorded; the sweeper delivers it.
            _log.warning("run.cancel_delayed", run_id=run_id, reason=type(error).__name__)
        return await self.get_stored_run(org_id=org_id, run_id=run_id)

    async def pause(self, *, org_id: str, run_id: str) -> StoredRunView:
        """Lets nothing more of a run begin; what is under way finishes.

        Raises RunNotFound, RunAlreadyFinished or RunNotReached.
        """
        async with self._database.transaction() as session:
            if not await RunRepository(session).pause(org_id=org_id, run_id=run_id, now=self._clock.now()):
                run = await self._run(session, org_id, run_id)
                raise RunAlreadyFinished(run_id=run_id, state=run.state.value)
        return await self._told(org_id, run_id, PAUSE)

    async def resume(self, *, org_id: str, run_id: str) -> StoredRunView:
        """Lets a paused run go on; raises as `pause`."""
        async with self._database.transaction() as session:
            if not await RunRepository(session).resume(org_id=org_id, run_id=run_id):
                run = await self._run(session, org_id, run_id)
                raise RunAlreadyFinished(run_id=run_id, state=run.state.value)
        return await self._told(org_id, run_id, RESUME)

    async def _told(self, org_id: str, run_id: str, signal: str) -> StoredRunView:
        # The row first: a run that has not started yet reads it when it does.
        try:
            await tell_run(self._temporal, run_id=run_id, signal=signal)
        except (RPCError, RuntimeError) as error:
            raise RunNotReached(run_id=run_id, wish=signal) from error
        return await self.get_stored_run(org_id=org_id, run_id=run_id)

    async def _record(self, org_id: str, request: RunRequest) -> tuple[Recorded, bool]:
        earlier = await self._earlier_run(org_id, request)
        if earlier is not None:
            return known_run(earlier), False
        async with self._database.transaction() as session:
            spec = await self._spec(session, org_id, request.workflow_name, request.workflow_version)
        compiled = await self._compiled(spec)
        plan, outline = compiled.plan, compiled.outline
        inputs = await self._accepted(org_id, request.inputs, outline.inputs_schema)
        new_run = NewRun(
            run_id=new_id("run"),
            org_id=org_id,
            workflow_name=spec.name,
            workflow_version=spec.version,
            spec_digest=spec.digest,
            plan_digest=plan.digest,
            inputs_digest=inputs.digest,
            idempotency_key=request.idempotency_key,
            budget_micro_usd=request.budget_micro_usd,
            priority=outline.priority,
            fairness_key=outline.fairness_key,
        )
        # Outside the transaction: what is large goes to the object store here.
        stored = await store_statements(
            self._blobs,
            self._clock,
            org_id=org_id,
            contents={plan.digest: plan.content, inputs.digest: inputs.content},
        )
        async with self._database.transaction() as session:
            recorded = await record_new_run(
                session,
                self._clock,
                new_run,
                stored=stored,
                holds=[inputs.named],
                defaults=self._admission,
            )
        self._plans.keep(outline, org_id=org_id, digest=plan.digest)
        if recorded is not None:
            return recorded, True
        raced = await self._earlier_run(org_id, request)
        if raced is None:
            raise RunNotFound(run_id=new_run.run_id)
        return known_run(raced), False

    async def _earlier_run(self, org_id: str, request: RunRequest) -> Run | None:
        """The run that the request's idempotency key started; raises IdempotencyKeyReused.

        Looked for before anything is checked: what was accepted once is accepted, whatever was registered since.
        """
        key = request.idempotency_key
        if not key:
            return None
        async with self._database.transaction() as session:
            earlier = await RunRepository(session).get_run_by_key(org_id=org_id, idempotency_key=key)
        if earlier is None:
            return None
        is_same = (
            earlier.rerun_of is None
            and earlier.workflow_name == request.workflow_name
            # "The latest" was another version then, and the request is the same all the same.
            and request.workflow_version in {None, earlier.workflow_version}
            and earlier.budget_micro_usd == request.budget_micro_usd
            and await self._has_inputs(earlier, request.inputs)
        )
        if not is_same:
            raise IdempotencyKeyReused(idempotency_key=key, run_id=earlier.run_id)
        return earlier

    async def _has_inputs(self, run: Run, inputs: Mapping[str, Any]) -> bool:
        """Whether a run was submitted with these inputs, to which the defaults of then were added."""
        if run.inputs_digest == filled_digest(inputs, None):
            return True
        schema = (await self._plans.get(org_id=run.org_id, digest=run.plan_digest)).inputs_schema
        size = weight_of(inputs, schema)
        return run.inputs_digest == await self._compiler.run(
            filled_digest, inputs, schema, org_id=run.org_id, size_bytes=size
        )

    async def _accepted(self, org_id: str, inputs: Mapping[str, Any], schema: bytes | None) -> StoredInputs:
        if schema is None:
            return accepted_inputs(inputs, None)
        size = weight_of(inputs, schema)
        return await self._compiler.run(accepted_inputs, inputs, schema, org_id=org_id, size_bytes=size)

    async def _spec(self, session: AsyncSession, org_id: str, name: str, version: int | None) -> Spec:
        spec = await RunRepository(session).get_spec(org_id=org_id, name=name, version=version)
        if spec is None:
            raise SpecNotFound(name=name, version=version)
        return spec

    async def _compiled(self, spec: Spec) -> CompiledDocument:
        return await self._compiler.compile(self._database, org_id=spec.org_id, text=spec.document, is_registered=True)

    async def _run(self, session: AsyncSession, org_id: str, run_id: str) -> Run:
        run = await RunRepository(session).get_run(org_id=org_id, run_id=run_id)
        if run is None:
            raise RunNotFound(run_id=run_id)
        return run


def _shown(content: bytes) -> Any:
    """Stored JSON as UTF-8 can say it: a model may have written half a character (a lone surrogate)."""
    return json.loads(content.decode("utf-8", errors="replace"))


def _registration(spec: Spec, compiled: CompiledDocument, *, created: bool) -> Registration:
    return Registration(spec=spec, plan=compiled.plan, outline=compiled.outline, created=created)

"""A run, a spec and the effect journal as an edge uses them: one transaction for each call."""

from dataclasses import replace

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from runs.journal_repository import Claim, EffectJournal, StepRequest
from runs.models import NewRun, Run, Step, StepKey, StepOutput, StepState, StepUsage
from runs.repository import RunRepository
from runs.step_repository import MapInterval, StepRepository

OUTPUT = StepOutput(digest="d" * 64, size_bytes=12, facts={"value:ok": True})
OTHER_OUTPUT = StepOutput(digest="e" * 64, size_bytes=34, facts={})
NO_USAGE = StepUsage()


def new_run(org_id: str, *, key: str | None = None, workflow_name: str = "digest") -> NewRun:
    return NewRun(
        run_id=new_id("run"),
        org_id=org_id,
        workflow_name=workflow_name,
        workflow_version=1,
        spec_digest="s",
        plan_digest="p",
        inputs_digest="i",
        idempotency_key=key,
        budget_micro_usd=MicroUsd(5_000_000_000),
    )


def request(org_id: str, run_id: str = "run_1", node_id: str = "summarise", *, attempt: int = 1) -> StepRequest:
    return StepRequest(
        key=StepKey(org_id=org_id, run_id=run_id, node_id=node_id), kind="llm", request_digest="r", attempt=attempt
    )


def item_of(step: StepRequest, index: int, *, count: int) -> StepRequest:
    return replace(step, key=replace(step.key, item_index=index), item_count=count)


class Journal:
    """The journal of one organisation's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, step: StepRequest, *, lease_seconds: float = 60) -> Claim | StepOutput:
        async with self._database.transaction() as session:
            return await EffectJournal(session).claim(step, lease_seconds=lease_seconds)

    async def hold(self, step: StepRequest, *, lease_seconds: float = 60) -> Claim:
        """The claim of a step that is not committed."""
        claim = await self.claim(step, lease_seconds=lease_seconds)
        assert isinstance(claim, Claim)
        return claim

    async def commit(self, claim: Claim, output: StepOutput = OUTPUT, usage: StepUsage = NO_USAGE) -> bool:
        async with self._database.transaction() as session:
            return await EffectJournal(session).commit(claim, output=output, usage=usage)

    async def fail(
        self, claim: Claim, *, cost: MicroUsd = MicroUsd(0), state: StepState = StepState.FAILED, code: str = "cas.down"
    ) -> bool:
        async with self._database.transaction() as session:
            return await EffectJournal(session).fail(
                claim, state=state, error_code=code, error_message="it is down", usage=StepUsage(cost_micro_usd=cost)
            )

    async def record(self, step: StepRequest, output: StepOutput = OUTPUT, *, seconds: float = 0.5) -> StepOutput:
        async with self._database.transaction() as session:
            return await EffectJournal(session).record(step, output=output, usage=NO_USAGE, seconds=seconds)

    async def record_failure(self, step: StepRequest, *, state: StepState = StepState.FAILED) -> None:
        async with self._database.transaction() as session:
            await EffectJournal(session).record_failure(
                step, state=state, error_code="step.failed", error_message="no such column", seconds=0.5
            )

    async def steps(self, org_id: str, run_id: str = "run_1") -> list[Step]:
        async with self._database.transaction() as session:
            return await StepRepository(session).steps_of(org_id=org_id, run_id=run_id)

    async def step(self, request: StepRequest) -> Step:
        """The one step of a request's run that has its key."""
        steps = await self.steps(request.key.org_id, request.key.run_id)
        (found,) = [step for step in steps if request.key == step.key]
        return found

    async def item_outputs(self, key: StepKey) -> dict[int, str]:
        async with self._database.transaction() as session:
            return await StepRepository(session).item_outputs(key)

    async def map_intervals(self, org_id: str, run_id: str = "run_1") -> list[MapInterval]:
        async with self._database.transaction() as session:
            return await StepRepository(session).map_intervals(org_id=org_id, run_id=run_id)


class Runs:
    """The runs of all organisations."""

    def __init__(self, database: Database, clock: SystemClock) -> None:
        self._database, self._clock = database, clock

    async def add(self, run: NewRun) -> bool:
        async with self._database.transaction() as session:
            return await RunRepository(session).add_run(run, now=self._clock.now())

    async def get(self, run: NewRun | Run) -> Run:
        async with self._database.transaction() as session:
            found = await RunRepository(session).get_run(org_id=run.org_id, run_id=run.run_id)
        assert found is not None
        return found

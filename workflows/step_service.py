"""What happened at the steps of a run, for people: what each attempt sent and got, of those that failed too."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.blobs import BlobStore
from agentflow.database import Database
from agentflow.heavy_work import run_apart
from runs.errors import RunNotFound, StepNotFound
from runs.exchange_repository import ExchangeRepository, KeptExchange
from runs.models import Run, StepKey, StepState
from runs.node_step_repository import FIRST_PLACE, NodeStep, NodeStepRepository, StepPlace
from runs.paged_list import PAGED_LIST_MEDIA_TYPE
from runs.repository import RunRepository
from runs.rerun_plan import decode_manifest
from workflows.plan_outlines import PlanOutlines

#: Of the steps that a node is made of, so many are named beside its own.
PARTS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What is recorded of a step."""

    #: None of a node whose own step is not recorded (yet), and of a map, whose items are.
    step: NodeStep | None
    #: JSON: the attempts, the latest first.
    attempts: bytes = field(repr=False)
    #: JSON as it is stored; None where there is none, and for a list that lies in pages.
    output: bytes | None = field(repr=False)
    #: The other steps that the node, or its item, is made of; one more than PARTS_SHOWN where there are more.
    parts: tuple[NodeStep, ...]


class StepService:
    """Reads the steps of runs."""

    def __init__(self, database: Database, blobs: BlobStore, plans: PlanOutlines | None = None) -> None:
        self._database, self._blobs, self._plans = database, blobs, plans or PlanOutlines(blobs)

    async def read(self, key: StepKey, *, attempts: int) -> StepReport:
        """A step with its latest attempts; raises RunNotFound or StepNotFound."""
        kept: list[KeptExchange] = []
        async with self._database.transaction() as session:
            run = await _run(session, key)
            steps = NodeStepRepository(session)
            step = await steps.find(key)
            parts = [] if key.part is not None else await self._parts(steps, key)
            if step is not None and step.where.effect_key:
                exchanges = ExchangeRepository(session)
                kept = await exchanges.of_step(org_id=key.org_id, effect_key=step.where.effect_key, limit=attempts)
        if step is None and not parts:
            raise await self._missing(run, key)
        return StepReport(
            step=step,
            attempts=await run_apart(lambda: _attempts_json(kept), owner=key.org_id),
            output=await self._output(key.org_id, step) if step is not None else None,
            parts=tuple(parts),
        )

    async def page(
        self, key: StepKey, *, state: StepState | None, after: StepPlace | None, limit: int
    ) -> Sequence[NodeStep]:
        """The steps of a node: those it is made of, and items by index; raises RunNotFound or StepNotFound."""
        async with self._database.transaction() as session:
            run = await _run(session, key)
            found = await NodeStepRepository(session).page(key, state=state, after=after or FIRST_PLACE, limit=limit)
        if not found and after is None:
            missing = await self._missing(run, key)
            if missing.taken_over_from is not None or missing.is_of_no_node:
                raise missing
        return found

    @staticmethod
    async def _parts(steps: NodeStepRepository, key: StepKey) -> list[NodeStep]:
        found = await steps.page(key, state=None, after=FIRST_PLACE, limit=PARTS_SHOWN + 2)
        others = [step for step in found if (step.item_index, step.part) != (key.item_index, None)]
        return others[: PARTS_SHOWN + 1]

    async def _output(self, org_id: str, step: NodeStep) -> bytes | None:
        if step.output is not None or step.output_digest is None:
            return None if step.output is None else step.output.encode()
        media_type, content = await self._blobs.get_typed(org_id=org_id, digest=step.output_digest)
        return None if media_type == PAGED_LIST_MEDIA_TYPE else content

    async def _missing(self, run: Run, key: StepKey) -> StepNotFound:
        """The error, which names the run that the node was taken over from."""
        plan = await self._plans.get(org_id=key.org_id, digest=run.plan_digest)
        known = [node.node_id for node in plan.nodes]
        if key.node_id not in known:
            return StepNotFound(run_id=key.run_id, node_id=key.node_id, nodes=known)
        earlier = None
        if run.reuse_digest is not None:
            content = await self._blobs.get(org_id=key.org_id, digest=run.reuse_digest)
            manifest = decode_manifest(run.reuse_digest, content)
            earlier = manifest.of if key.node_id in manifest.nodes else None
        return StepNotFound(
            run_id=key.run_id,
            node_id=key.node_id,
            item_index=key.item_index,
            part=key.part,
            taken_over_from=earlier,
        )


async def _run(session: AsyncSession, key: StepKey) -> Run:
    run = await RunRepository(session).get_run(org_id=key.org_id, run_id=key.run_id)
    if run is None:
        raise RunNotFound(run_id=key.run_id)
    return run


def _attempts_json(kept: Sequence[KeptExchange]) -> bytes:
    return b"[" + b",".join([exchange.json() for exchange in kept]) + b"]"

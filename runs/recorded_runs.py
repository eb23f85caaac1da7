"""What finished runs have recorded, for the runs that repeat them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.blobs import BlobStore
from agentflow.database import Database
from agentflow.money import MicroUsd
from runs.map_repository import MapJournal
from runs.models import Run
from runs.paged_list import PAGED_LIST_MEDIA_TYPE, decode_paged_list
from runs.plan import NodeState
from runs.repository import RunRepository
from runs.rerun_plan import NodeDecision, NodeResult, ReuseManifest, decode_manifest
from runs.step_repository import StepRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedItems:
    """The items of a map that were tolerated to fail."""

    #: The run that worked on them; a run that took the map over whole has none.
    run_id: str
    count: int


class RecordedRuns:
    """Reads runs of the organisation that each of them belongs to."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database, self._blobs = database, blobs

    async def manifest_of(self, run: Run) -> ReuseManifest | None:
        """What the run itself took over from another; None when it repeats none. Raises as `manifest_at`."""
        return None if run.reuse_digest is None else await self.manifest_at(run.org_id, run.reuse_digest)

    async def manifest_at(self, org_id: str, digest: str) -> ReuseManifest:
        """A stored manifest; raises BlobNotFound or BlobCorrupt."""
        return decode_manifest(digest, await self._blobs.get(org_id=org_id, digest=digest))

    async def results_of(self, run: Run, node_ids: Iterable[str]) -> dict[str, NodeResult]:
        """What is recorded of each node of a run, what it took over itself included."""
        org_id, results = run.org_id, dict[str, NodeResult]()
        manifest = await self.manifest_of(run)
        if manifest is not None:
            results.update(manifest.nodes)
        async with self._database.transaction() as session:
            steps = StepRepository(session)
            digests = await steps.node_outputs(org_id=org_id, run_id=run.run_id)
            taken_back = await steps.taken_back(org_id=org_id, run_id=run.run_id)
            endings = await steps.finish_reasons(org_id=org_id, run_id=run.run_id)
            digests |= await MapJournal(session).outputs_of(org_id=org_id, run_id=run.run_id)
            costs = await _costs(session, run)
        for node_id in node_ids:
            if node_id not in results:
                results[node_id] = NodeResult(
                    state=run.node_states.get(node_id, NodeState.CANCELLED),
                    output_digest=digests.get(node_id),
                    cost_micro_usd=costs.get(node_id),
                    is_taken_back=node_id in taken_back,
                    finish_reason=endings.get(node_id),
                )
        return results

    async def failed_items_of(self, run: Run) -> dict[str, FailedItems]:
        """Of each map of a run that has ended, the items that failed; those of maps that it took over whole, too."""
        async with self._database.transaction() as session:
            counts = await StepRepository(session).failed_items(org_id=run.org_id, run_id=run.run_id)
            opened = await MapJournal(session).maps_of(org_id=run.org_id, run_id=run.run_id)
        counts |= {state.node_id: state.failed for state in opened}
        found = {node_id: FailedItems(run_id=run.run_id, count=count) for node_id, count in counts.items() if count > 0}
        manifest = await self.manifest_of(run)
        if manifest is None:
            return found
        async with self._database.transaction() as session:
            earlier = await RunRepository(session).get_run(org_id=run.org_id, run_id=manifest.of)
        taken_over = await self.failed_items_of(earlier) if earlier is not None else {}
        return {node_id: missed for node_id, missed in taken_over.items() if node_id in manifest.nodes} | found

    async def manifest(
        self,
        earlier: Run,
        decisions: Sequence[NodeDecision],
        results: Mapping[str, NodeResult],
        *,
        failed_items: Mapping[str, FailedItems] | None = None,
        wish_digest: str | None = None,
    ) -> ReuseManifest:
        """What a run takes over from `earlier` when it is decided so."""
        before, missed = await self.manifest_of(earlier), failed_items or {}
        async with self._database.transaction() as session:
            begun = await _costs(session, earlier)
        redrive = {}
        for decision in decisions:
            if not decision.redrive:
                continue
            # A run that never came to the node passes on whose parts it would have taken over.
            passed_on = before.redrive.get(decision.node_id) if before is not None else None
            source = passed_on if decision.node_id not in begun and passed_on is not None else earlier.run_id
            redrive[decision.node_id] = missed[decision.node_id].run_id if decision.node_id in missed else source
        return ReuseManifest(
            of=earlier.run_id,
            nodes={each.node_id: results[each.node_id] for each in decisions if each.reused},
            redrive=redrive,
            wish_digest=wish_digest,
        )

    async def pages_of(self, org_id: str, manifest: ReuseManifest) -> list[str]:
        """The pages of the outputs that are taken over, where those are paged lists."""
        pages: list[str] = []
        for result in manifest.nodes.values():
            if result.output_digest is not None:
                media_type, content = await self._blobs.get_typed(org_id=org_id, digest=result.output_digest)
                if media_type == PAGED_LIST_MEDIA_TYPE:
                    pages.extend(decode_paged_list(result.output_digest, content).pages)
        return pages


async def _costs(session: AsyncSession, run: Run) -> dict[str, MicroUsd]:
    """Node id → cost, for the nodes of which anything has run, runs below them included."""
    found = Counter(await StepRepository(session).node_costs(org_id=run.org_id, run_id=run.run_id))
    below = await RunRepository(session).runs_below(org_id=run.org_id, run_id=run.run_id)
    found.update({each.node_id: each.cost_micro_usd for each in below})
    opened = await MapJournal(session).maps_of(org_id=run.org_id, run_id=run.run_id)
    begun = dict.fromkeys((state.node_id for state in opened), 0) | found
    return {node_id: MicroUsd(cost) for node_id, cost in begun.items()}

"""Outlines of stored plans: what whoever looks at runs needs of a plan, which is itself read aside."""

from agentflow.blobs import BlobStore
from agentflow.recent_values import RecentValues
from runs.plan import EncodedPlan
from runs.plan_outline import PlanOutline, read_outline
from workflows.tenant_work import TenantWork


class PlanOutlines:
    """Reads outlines, and keeps those that were asked for last."""

    def __init__(self, blobs: BlobStore, work: TenantWork | None = None) -> None:
        """`work` bounds what reading a plan may take; without it that is done where it is asked for."""
        self._blobs, self._work = blobs, work
        self._recent: RecentValues[tuple[str, str], PlanOutline] = RecentValues()

    async def get(self, *, org_id: str, digest: str) -> PlanOutline:
        """The outline of the plan with that digest.

        Raises BlobNotFound, BlobCorrupt, PlanIncompatible, WorkTooCostly or ServerOccupied.
        """
        outline = self._recent.get((org_id, digest))
        if outline is None:
            plan = EncodedPlan(digest, await self._blobs.get(org_id=org_id, digest=digest))
            outline = await self._read(org_id, plan)
            self.keep(outline, org_id=org_id, digest=digest)
        return outline

    def keep(self, outline: PlanOutline, *, org_id: str, digest: str) -> None:
        """Keeps the outline of a plan that is known already."""
        self._recent.put((org_id, digest), outline, weight=outline.size_bytes)

    async def _read(self, org_id: str, plan: EncodedPlan) -> PlanOutline:
        if self._work is None:
            return read_outline(plan)
        return await self._work.run(read_outline, plan, org_id=org_id, size_bytes=len(plan.content))

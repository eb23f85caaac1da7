"""The outputs of single nodes, for people: what a run has by now, whether it goes on, failed or was cancelled."""

import json
from dataclasses import dataclass
from typing import Any

from agentflow.blobs import BlobStore
from agentflow.database import Database
from runs.errors import NodeOutputNotFound, RunNotFound
from runs.map_repository import MapJournal
from runs.paged_list import PAGED_LIST_MEDIA_TYPE, PagedList, decode_paged_list
from runs.repository import RunRepository
from runs.rerun_plan import decode_manifest
from runs.step_repository import StepRepository
from workflows.tenant_work import TenantWork


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutput:
    """A node's output, or a part of it where it is a list that lies in pages."""

    node_id: str
    digest: str
    #: JSON; of an output that is not in pages as it is stored, which may be with half a surrogate pair.
    content: bytes
    #: Of a list in pages: how many items it has, and which is the first of those in `content`.
    item_count: int | None = None
    first: int = 0

    @property
    def value(self) -> Any:
        """What `content` says."""
        return _shown(self.content)


class NodeOutputService:
    """Reads what nodes have given."""

    def __init__(self, database: Database, blobs: BlobStore, work: TenantWork | None = None) -> None:
        """`work` bounds what reading a part of a list may take; without it that is done where it is asked for."""
        self._database, self._blobs, self._work = database, blobs, work

    async def read(self, *, org_id: str, run_id: str, node_id: str, first: int, limit: int) -> NodeOutput:
        """The output of a node that has one; of a long list `limit` items from `first` on.

        Raises RunNotFound or NodeOutputNotFound.
        """
        digest = await self._digest(org_id, run_id, node_id)
        if digest is None:
            raise NodeOutputNotFound(run_id=run_id, node_id=node_id)
        media_type, content = await self._blobs.get_typed(org_id=org_id, digest=digest)
        if media_type != PAGED_LIST_MEDIA_TYPE:
            return NodeOutput(node_id=node_id, digest=digest, content=content)
        paged = decode_paged_list(digest, content)
        items = range(min(first, paged.count), min(first + limit, paged.count))
        part = await self._items(org_id, paged, items)
        return NodeOutput(node_id=node_id, digest=digest, content=part, item_count=paged.count, first=items.start)

    async def _digest(self, org_id: str, run_id: str, node_id: str) -> str | None:
        async with self._database.transaction() as session:
            run = await RunRepository(session).get_run(org_id=org_id, run_id=run_id)
            if run is None:
                raise RunNotFound(run_id=run_id)
            digests = await StepRepository(session).node_outputs(org_id=org_id, run_id=run_id)
            digests |= await MapJournal(session).outputs_of(org_id=org_id, run_id=run_id)
        if node_id in digests or run.reuse_digest is None:
            return digests.get(node_id)
        content = await self._blobs.get(org_id=org_id, digest=run.reuse_digest)
        taken_over = decode_manifest(run.reuse_digest, content).nodes.get(node_id)
        return taken_over.output_digest if taken_over is not None else None

    async def _items(self, org_id: str, paged: PagedList, items: range) -> bytes:
        found: list[bytes] = []
        for page, indices in paged.ranges():
            wanted = range(max(items.start, indices.start), min(items.stop, indices.stop))
            if wanted:
                content = await self._blobs.get(org_id=org_id, digest=page)
                part = slice(wanted.start - indices.start, wanted.stop - indices.start)
                found.append(await self._part(org_id, content, part))
        return b"[" + b",".join(found) + b"]"

    async def _part(self, org_id: str, page: bytes, part: slice) -> bytes:
        if self._work is None:
            return _part_of(page, part)
        return await self._work.run(_part_of, page, part, org_id=org_id, size_bytes=len(page))


def _part_of(page: bytes, part: slice) -> bytes:
    """Some items of a page as JSON, without the brackets."""
    return json.dumps(_shown(page)[part])[1:-1].encode()


def _shown(content: bytes) -> Any:
    """Stored JSON as UTF-8 can say it: a model may have written half a character (a lone surrogate)."""
    return json.loads(content.decode("utf-8", errors="replace"))

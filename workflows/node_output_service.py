"""The outputs of single nodes, for people: what a run has by now, whether it goes on, failed or was cancelled."""

import json
from dataclasses import dataclass
from typing import Any

from agentflow.blobs import BlobStore
from agentflow.database import Database
from runs.errors import NodeOutputNotFound, RunNotFound
from runs.journal_repository import EffectJournal
from runs.map_repository import MapJournal
from runs.paged_list import PAGED_LIST_MEDIA_TYPE, PagedList, decode_paged_list
from runs.repository import RunRepository
from runs.rerun_plan import decode_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutput:
    """A node's output, or a part of it where it is a list that lies in pages."""

    node_id: str
    digest: str
    value: Any
    #: Of a list in pages: how many items it has, and which is the first of those in `value`.
    item_count: int | None = None
    first: int = 0


class NodeOutputService:
    """Reads what nodes have given."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database, self._blobs = database, blobs

    async def read(self, *, org_id: str, run_id: str, node_id: str, first: int, limit: int) -> NodeOutput:
        """The output of a node that has one; of a long list `limit` items from `first` on.

        Raises RunNotFound or NodeOutputNotFound.
        """
        digest = await self._digest(org_id, run_id, node_id)
        if digest is None:
            raise NodeOutputNotFound(run_id=run_id, node_id=node_id)
        media_type, content = await self._blobs.get_typed(org_id=org_id, digest=digest)
        if media_type != PAGED_LIST_MEDIA_TYPE:
            return NodeOutput(node_id=node_id, digest=digest, value=_shown(content))
        paged = decode_paged_list(digest, content)
        items = range(min(first, paged.count), min(first + limit, paged.count))
        value = await self._items(org_id, paged, items)
        return NodeOutput(node_id=node_id, digest=digest, value=value, item_count=paged.count, first=items.start)

    async def _digest(self, org_id: str, run_id: str, node_id: str) -> str | None:
        async with self._database.transaction() as session:
            run = await RunRepository(session).get_run(org_id=org_id, run_id=run_id)
            if run is None:
                raise RunNotFound(run_id=run_id)
            digests = await EffectJournal(session).node_outputs(org_id=org_id, run_id=run_id)
            digests |= await MapJournal(session).outputs_of(org_id=org_id, run_id=run_id)
        if node_id in digests or run.reuse_digest is None:
            return digests.get(node_id)
        content = await self._blobs.get(org_id=org_id, digest=run.reuse_digest)
        taken_over = decode_manifest(run.reuse_digest, content).nodes.get(node_id)
        return taken_over.output_digest if taken_over is not None else None

    async def _items(self, org_id: str, paged: PagedList, items: range) -> list[Any]:
        found: list[Any] = []
        for page, indices in paged.ranges():
            wanted = range(max(items.start, indices.start), min(items.stop, indices.stop))
            if wanted:
                listed = _shown(await self._blobs.get(org_id=org_id, digest=page))
                found.extend(listed[wanted.start - indices.start : wanted.stop - indices.start])
        return found


def _shown(content: bytes) -> Any:
    """Stored JSON as UTF-8 can say it: a model may have written half a character (a lone surrogate)."""
    return json.loads(content.decode("utf-8", errors="replace"))

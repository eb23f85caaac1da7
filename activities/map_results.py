"""The results of a large map: pages of them, made where they are, and what scheduling may know of the list."""

from typing import Any

from activities.errors import ItemMissing
from activities.map_payloads import CloseMapCall
from activities.resources import Resources
from agentflow.blobs import JSON_MEDIA_TYPE
from runs.facts import large_key
from runs.map_repository import ItemResult, MapJournal
from runs.models import StepKey, StepState
from runs.paged_list import PAGE_ITEMS, PagedList, page_items_for
from runs.plan import PlanNode

#: Pages of results that one statement makes.
_PAGES_AT_ONCE = 20


class ResultGathering:
    """Makes pages of a map's results, a few at a time, and counts what they hold."""

    def __init__(self, resources: Resources, call: CloseMapCall, *, is_batched: bool) -> None:
        self._resources, self._call, self._is_batched = resources, call, is_batched
        #: How many items each page has.
        self.page_items = PAGE_ITEMS
        self.pages: list[str] = []
        self.size_bytes = 0
        self.failed = 0

    async def gather(self) -> None:
        """Makes every page; raises ItemMissing."""
        count = self._call.opened.item_count
        self.page_items = page_items_for(count, await self._result_bytes())
        in_database = self._is_batched and not await self._has_blobs()
        step = self.page_items * (_PAGES_AT_ONCE if in_database else 1)
        for start in range(0, count, step):
            items = range(start, min(start + step, count))
            await (self._in_database(items) if in_database else self._here(items))

    async def _result_bytes(self) -> int:
        call = self._call
        async with self._resources.database.transaction() as session:
            return await MapJournal(session).result_bytes(
                map_key(call), map_id=call.opened.map_id, is_batched=self._is_batched
            )

    async def _has_blobs(self) -> bool:
        async with self._resources.database.transaction() as session:
            return await MapJournal(session).has_blobs(org_id=self._call.run.org_id, map_id=self._call.opened.map_id)

    async def _in_database(self, items: range) -> None:
        async with self._resources.database.transaction() as session:
            stored = await MapJournal(session).store_pages(
                org_id=self._call.run.org_id,
                run_id=self._call.run.run_id,
                map_id=self._call.opened.map_id,
                page_items=self.page_items,
                items=items,
                media_type=JSON_MEDIA_TYPE,
            )
        missing = len(items) - sum(page.items for page in stored)
        if missing and not self._call.allow_missing:
            raise ItemMissing(node_id=self._call.node_id, item_index=items.start)
        self.failed += missing
        for page in stored:
            self.pages.append(page.digest)
            self.size_bytes += page.size_bytes
            self.failed += page.failed

    async def _here(self, items: range) -> None:
        org_id, call = self._call.run.org_id, self._call
        async with self._resources.database.transaction() as session:
            results = await MapJournal(session).results(
                map_key(call), map_id=call.opened.map_id, is_batched=self._is_batched, items=items
            )
        digests = [result.output_digest for result in results if result.output_digest is not None]
        contents = await self._resources.blobs.get_all(org_id=org_id, digests=digests)
        by_index = {result.item_index: self._content(result, contents) for result in results}
        missing = [index for index in items if index not in by_index]
        if missing and not call.allow_missing:
            raise ItemMissing(node_id=call.node_id, item_index=missing[0])
        self.failed += len(missing)
        page = b"[" + b",".join([by_index.get(index, b"null") for index in items]) + b"]"
        digest = await self._resources.blobs.put(
            org_id=org_id,
            content=page,
            media_type=JSON_MEDIA_TYPE,
            now=self._resources.clock.now(),
            held_by=call.run.run_id,
        )
        self.pages.append(digest)
        self.size_bytes += len(page)

    def _content(self, result: ItemResult, contents: dict[str, bytes]) -> bytes:
        if result.state is StepState.COMMITTED:
            if result.output is not None:
                return result.output.encode()
            return contents[str(result.output_digest)]
        self.failed += 1
        return b"null"


def facts_of_paged(node: PlanNode, paged: PagedList) -> dict[str, Any]:
    """The facts of a list that is too long to be looked into: how long it is, and a mark for its content."""
    whole = [fact for fact in node.facts if not fact.path]
    return {
        fact.key if fact.kind == "size" else large_key(fact): paged.count if fact.kind == "size" else True
        for fact in whole
    }


def map_key(call: CloseMapCall) -> StepKey:
    """The map in the journal."""
    run = call.run
    return StepKey(org_id=run.org_id, run_id=run.run_id, node_id=call.node_id, generation=call.generation)

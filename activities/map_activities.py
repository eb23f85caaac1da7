"""The activities of large maps: laying the items in pages, working on a batch of them, gathering the results.

All of it may be repeated without harm: pages are content-addressed, a map is opened once, the first record of an
item stays. A batch that was cut short goes on after the last item that it recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from temporalio import activity

from activities.arguments import read_items, read_scope
from activities.catalog import FUNCTIONS
from activities.errors import ItemMissing, MapTooLarge, SourceNotAList
from activities.item_batch import ItemBatch, ItemDone
from activities.map_payloads import (
    CLOSE_MAP,
    OPEN_MAP,
    RUN_BATCH,
    BatchCall,
    BatchDone,
    CloseMapCall,
    OpenedMap,
    OpenMapCall,
)
from activities.map_results import ResultGathering, facts_of_paged
from activities.payloads import RunRef, StepCall, StepDone
from activities.resources import Resources
from activities.step_identity import step_request
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json
from observability.repository import SpanRepository
from observability.telemetry import attributes as names
from observability.telemetry.span_ids import StepAttempt
from observability.telemetry.span_record import Outcome, SpanRecord, step_span
from runs.facts import extract_facts
from runs.journal_repository import EffectJournal
from runs.map_repository import MapJournal, OpenMap
from runs.models import ItemRecord, StepKey
from runs.paged_list import PAGE_ITEMS, PAGED_LIST_MEDIA_TYPE, WHOLE_LIST_BYTES, PagedList, encode_paged_list
from runs.plan import MapPlan, PlanNode
from runs.rerun_plan import reads_inputs
from runs.step_repository import StepRepository

#: Items on a page where each is a step of its own.
STEP_PAGE_ITEMS = 250
#: A batch records what it has at least this often, so that a crash costs seconds.
_CHECKPOINT_SECONDS = 1.0
#: The longest that a batch keeps to a thread before it looks whether it was cancelled.
_SLICE_SECONDS = 0.25


class MapActivities:
    """What the interpreter asks for once per large map, or once per batch."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=OPEN_MAP)
    async def open_map(self, call: OpenMapCall) -> OpenedMap:
        """Lays the items in pages and records the map; raises SourceNotAList or MapTooLarge."""
        org_id = call.run.org_id
        plan = await self._resources.plan(org_id=org_id, digest=call.run.plan_digest)
        node = plan.node(call.node_id)
        settings = node.map or MapPlan()
        page_items = settings.batch if settings.batch > 1 else STEP_PAGE_ITEMS
        pages: list[str] = []
        count = 0
        async for chunk in self._chunks(call, node, page_items):
            count += len(chunk)
            if count > settings.max_items:
                raise MapTooLarge(node_id=node.node_id, item_count=count, limit=settings.max_items)
            pages.append(await self._store(call.run, canonical_json(chunk)))
        paged = PagedList(count=count, page_items=page_items, pages=tuple(pages))
        digest, content = encode_paged_list(paged)
        await self._store(call.run, content, PAGED_LIST_MEDIA_TYPE)
        async with self._resources.database.transaction() as session:
            journal = MapJournal(session)
            opened = await journal.open(
                _key(call), item_count=count, pages_digest=digest, is_batched=settings.batch > 1
            )
            if call.redrive_of is not None and opened.is_batched:
                await journal.take_over(_key(call), opened=opened, earlier_run_id=call.redrive_of)
        if call.redrive_of is not None and not opened.is_batched:
            await self._take_over_steps(call, call.redrive_of, node, opened)
        return OpenedMap(map_id=opened.map_id, item_count=opened.item_count, pages=opened.pages_digest)

    @activity.defn(name=RUN_BATCH)
    async def run_batch(self, call: BatchCall) -> BatchDone:
        """Works on the items of one page and records each; says how many succeeded."""
        began_at = self._resources.clock.now()
        org_id = call.run.org_id
        plan = await self._resources.plan(org_id=org_id, digest=call.run.plan_digest)
        node = plan.node(call.node_id)
        paged = await self._paged(org_id, call.pages, node.node_id)
        indices = paged.range_of(call.batch)
        async with self._resources.database.transaction() as session:
            recorded = await MapJournal(session).recorded(org_id=org_id, map_id=call.map_id, items=indices)
        items = await self._resources.json_value(org_id=org_id, digest=paged.pages[call.batch])
        scope = await read_scope(self._resources, call.run, call.outputs, with_inputs=reads_inputs(node, node.leaf))
        scope.update(call.local)
        todo = [(index, item) for index, item in zip(indices, items, strict=True) if index not in recorded]
        batch = ItemBatch(node, FUNCTIONS[node.leaf.target], scope, todo, dialect=plan.dialect)
        while not batch.is_done():
            done = await self._until_checkpoint(batch)
            await self._record(call, done, self._span(call, began_at, indices) if batch.is_done() else None)
        return await self._tally(call, indices)

    @activity.defn(name=CLOSE_MAP)
    async def close_map(self, call: CloseMapCall) -> StepDone:
        """The results of all items, in order, as one list; raises ItemMissing when one is not accounted for."""
        org_id, opened = call.run.org_id, call.opened
        plan = await self._resources.plan(org_id=org_id, digest=call.run.plan_digest)
        node = plan.node(call.node_id)
        gathering = ResultGathering(self._resources, call, is_batched=(node.map or MapPlan()).batch > 1)
        await gathering.gather()
        paged = PagedList(count=opened.item_count, page_items=gathering.page_items, pages=tuple(gathering.pages))
        if gathering.size_bytes <= WHOLE_LIST_BYTES:
            items = await self._resources.whole_list(org_id=org_id, paged=paged)
            content = canonical_json(items)
            digest = await self._store(call.run, content)
            self._resources.remember_json(org_id=org_id, digest=digest, value=items, size_bytes=len(content))
            facts = extract_facts(items, node.facts)
            size_bytes = len(content)
        else:
            digest, content = encode_paged_list(paged)
            await self._store(call.run, content, PAGED_LIST_MEDIA_TYPE)
            facts = facts_of_paged(node, paged)
            size_bytes = gathering.size_bytes
        async with self._resources.database.transaction() as session:
            journal = MapJournal(session)
            await journal.record_output(_key(call), output_digest=digest, output_bytes=size_bytes)
            await journal.close(
                org_id=org_id,
                map_id=opened.map_id,
                succeeded=opened.item_count - gathering.failed,
                failed=gathering.failed,
            )
        return StepDone(digest=digest, size_bytes=size_bytes, facts=facts)

    async def _take_over_steps(self, call: OpenMapCall, earlier_run_id: str, node: PlanNode, opened: OpenMap) -> None:
        """Records the items that an earlier run finished as this run's own steps, at no cost."""
        earlier = replace(_key(call), run_id=earlier_run_id)
        for start in range(0, opened.item_count, PAGE_ITEMS):
            items = range(start, min(start + PAGE_ITEMS, opened.item_count))
            async with self._resources.database.transaction() as session:
                journal = EffectJournal(session)
                outputs = await StepRepository(session).item_results(earlier, items)
                requests = [
                    (step_request(_item_call(call, opened, index), kind=node.leaf.kind, attempt=1), output)
                    for index, output in outputs.items()
                ]
                await journal.take_over(requests)

    async def _chunks(self, call: OpenMapCall, node: PlanNode, page_items: int) -> AsyncIterator[list[Any]]:
        """The items, a page at a time; a list that is paged itself is never loaded whole."""
        source = call.outputs.get(str(node.over_root))
        if source is not None and not node.over_path:
            paged = await self._resources.paged_list(org_id=call.run.org_id, digest=source)
            if paged is not None:
                async for chunk in self._repaged(call.run.org_id, paged, page_items):
                    yield chunk
                return
        reads = {root: digest for root, digest in call.outputs.items() if root == node.over_root}
        items = read_items(await read_scope(self._resources, call.run, reads), node)
        if not isinstance(items, list):
            raise SourceNotAList(node_id=node.node_id, source=".".join((str(node.over_root), *node.over_path)))
        for start in range(0, len(items), page_items):
            yield items[start : start + page_items]

    async def _repaged(self, org_id: str, paged: PagedList, page_items: int) -> AsyncIterator[list[Any]]:
        held: list[Any] = []
        for page in paged.pages:
            held.extend(await self._resources.json_value(org_id=org_id, digest=page))
            while len(held) >= page_items:
                yield held[:page_items]
                del held[:page_items]
        if held:
            yield held

    @staticmethod
    async def _until_checkpoint(batch: ItemBatch) -> list[ItemDone]:
        done: list[ItemDone] = []
        deadline = asyncio.get_running_loop().time() + _CHECKPOINT_SECONDS
        while not batch.is_done() and asyncio.get_running_loop().time() < deadline:
            # In a thread, so that heartbeats and other steps go on meanwhile.
            done += await asyncio.to_thread(batch.work, _SLICE_SECONDS)
        return done

    async def _record(self, call: BatchCall, done: Sequence[ItemDone], span: SpanRecord | None) -> None:
        records = [item.record for item in done]
        for item in done:
            if item.blob is not None:
                await self._store(call.run, item.blob)
        if not await self._write(call, records, span, in_bulk=True):
            # An attempt that was taken for dead has recorded some of them; what it recorded stays.
            await self._write(call, records, span, in_bulk=False)

    async def _write(
        self,
        call: BatchCall,
        records: Sequence[ItemRecord],
        span: SpanRecord | None,
        *,
        in_bulk: bool,
    ) -> bool:
        org_id = call.run.org_id
        async with self._resources.database.transaction() as session:
            journal = MapJournal(session)
            if span is not None:
                await SpanRepository(session).add([span])
            if not in_bulk:
                await journal.add(org_id=org_id, map_id=call.map_id, records=records)
            elif not await journal.copy(org_id=org_id, map_id=call.map_id, records=records):
                await session.rollback()
                return False
        return True

    async def _tally(self, call: BatchCall, indices: range) -> BatchDone:
        async with self._resources.database.transaction() as session:
            tally = await MapJournal(session).tally(org_id=call.run.org_id, map_id=call.map_id, items=indices)
        if tally.succeeded + tally.failed != len(indices):
            raise ItemMissing(node_id=call.node_id, item_index=indices.start)
        return BatchDone(
            succeeded=tally.succeeded,
            failed=tally.failed,
            error_code=tally.error_code,
            error_message=tally.error_message,
        )

    def _span(self, call: BatchCall, began_at: datetime, indices: range) -> SpanRecord:
        attempt = StepAttempt(
            org_id=call.run.org_id,
            run_id=call.run.run_id,
            node_id=call.node_id,
            item_index=indices.start,
            generation=call.generation,
            attempt=activity.info().attempt,
        )
        outcome = Outcome(started_at=began_at, ended_at=self._resources.clock.now(), status="ok")
        return step_span(attempt, kind="function", outcome=outcome, attributes={names.ITEM_COUNT: len(indices)})

    async def _paged(self, org_id: str, digest: str, node_id: str) -> PagedList:
        paged = await self._resources.paged_list(org_id=org_id, digest=digest)
        if paged is None:
            raise ItemMissing(node_id=node_id, item_index=0)
        return paged

    async def _store(self, run: RunRef, content: bytes, media_type: str = JSON_MEDIA_TYPE) -> str:
        # Held by the run: pages are named inside an index, and no column names them.
        return await self._resources.blobs.put(
            org_id=run.org_id,
            content=content,
            media_type=media_type,
            now=self._resources.clock.now(),
            held_by=run.run_id,
        )


def _item_call(call: OpenMapCall, opened: OpenMap, index: int) -> StepCall:
    """The step of an item, as the interpreter will ask for it."""
    return StepCall(
        run=call.run,
        node_id=call.node_id,
        outputs=call.item_outputs,
        item_index=index,
        item_count=opened.item_count,
        generation=call.generation,
        prompt=call.prompt,
        pages=opened.pages_digest,
        local=call.item_local,
    )


def _key(call: OpenMapCall | CloseMapCall) -> StepKey:
    run = call.run
    return StepKey(org_id=run.org_id, run_id=run.run_id, node_id=call.node_id, generation=call.generation)

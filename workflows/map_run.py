"""A range of a map's steps, a window at a time: in the history it is called from, or in shards below it.

A step is a batch of items, or one item. A shard is a child workflow with a range of its own, which may have shards
again: a history holds some hundreds of steps or shards and no more, however long the list is.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ChildWorkflowError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.map_payloads import (
        MAX_INLINE_ITEMS,
        BatchCall,
        BatchDone,
        OpenedMap,
        ShardStart,
    )
    from activities.payloads import RunRef, SkeletonNode, StepCall
    from workflows.run_attributes import attributes_of_shard
    from workflows.step_calls import NodeFailed, NotBegun, cancel_all, is_cancelled
    from workflows.step_performer import StepPerformer

MAP_SHARD = "MapShard"
#: Steps of a shard without shards below it: at six events each, with its own start and end, under 3,100 events.
SHARD_STEPS = 500
#: Shards below one workflow: at seven events each, under 1,500.
MAX_SHARDS = 200
#: A run below: two activities, and a child workflow.
_CHILD_WEIGHT = 3
#: What stands behind the fairness key of a large map's shards, and the part of its organisation's weight that their
#: steps have: where a queue is busy, eight steps of others are taken before one of theirs. With equal weights a short
#: list beside a long one waits more than twice as long as alone (docs/decisions/0012).
_BULK_SUFFIX, _BULK_SHARE = "+bulk", 0.125
#: Shards at work at once; with a second one the window stays full while the first comes to its end.
_SHARDS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRange:
    """Which steps of which map, and how."""

    run: RunRef
    node: SkeletonNode
    #: Node id → digest, for what the items' expressions read.
    outputs: dict[str, str | None]
    #: None for a short map, whose items are read from its list.
    opened: OpenedMap | None
    item_count: int
    first_step: int
    step_count: int
    window: int
    allowed_failures: int
    generation: int = 0
    #: True where steps must not stand in the calling history, however few they are.
    in_shards: bool = False
    #: What the items' expressions see besides: `run`, in `finally`.
    local: dict[str, Any] = field(default_factory=dict)


def steps_weigh(node: SkeletonNode, steps: int) -> int:
    """How much of a history so many steps take, in steps that are one activity."""
    return steps * (_CHILD_WEIGHT if node.kind == "workflow" else 1)


def steps_of_shard(node: SkeletonNode) -> int:
    """How many steps a shard without shards below it takes."""
    return SHARD_STEPS // steps_weigh(node, 1)


def shard_steps(step_count: int, *, least: int = SHARD_STEPS) -> int:
    """How many steps each shard of a range gets, so that there are at most MAX_SHARDS of them."""
    width = least
    while step_count > width * MAX_SHARDS:
        width *= MAX_SHARDS
    return width


def allowed_failures(node: SkeletonNode, item_count: int) -> int:
    """How many items of a map may fail."""
    share = Fraction(str(node.tolerated_percent)) / 100
    return max(node.tolerated_failures, int(item_count * share))


class MapRun:
    """Works through a range; the counts that it gives are of the items that ended."""

    def __init__(self, extent: MapRange, on_progress: Callable[[int], None], steps: StepPerformer) -> None:
        self._extent, self._on_progress, self._steps = extent, on_progress, steps
        self._done = BatchDone(succeeded=0)
        self._is_stopped = False
        self._telling: list[asyncio.Task[None]] = []
        self._shards: dict[str, workflow.ChildWorkflowHandle[object, BatchDone]] = {}

    def stop(self) -> None:
        """Lets nothing more begin; what runs may still finish."""
        if self._is_stopped:
            return
        self._is_stopped = True
        for handle in self._shards.values():
            # Held until it ends: nobody waits for it.
            self._telling.append(asyncio.create_task(_tell_to_stop(handle)))

    async def run(self) -> BatchDone:
        """How the items ended; fewer than the range has when it was stopped, or too many had failed."""
        extent = self._extent
        if extent.step_count <= MAX_INLINE_ITEMS and not extent.in_shards:
            width, at_once = 1, extent.window
        else:
            least = steps_of_shard(extent.node)
            width, at_once = shard_steps(extent.step_count, least=least), min(_SHARDS_AT_ONCE, extent.window)
        return await self._in_lanes(width, at_once)

    async def run_steps(self) -> BatchDone:
        """As `run`, with every step in the calling history."""
        return await self._in_lanes(1, self._extent.window)

    async def _in_lanes(self, width: int, at_once: int) -> BatchDone:
        extent = self._extent
        stop_step = extent.first_step + extent.step_count
        waiting = deque(
            range(start, min(start + width, stop_step)) for start in range(extent.first_step, stop_step, width)
        )
        count = min(at_once, len(waiting))

        async def lane(share: int) -> None:
            # A cancellation that an activity's own end overtakes is not raised here: it is looked for.
            while waiting and not self._is_stopped and not is_cancelled(extent.node):
                try:
                    self._add(await self._perform(waiting.popleft(), share, width))
                except NotBegun:
                    return

        shares = [extent.window // count + (place < extent.window % count) for place in range(count)]
        lanes = [asyncio.create_task(lane(share)) for share in shares]
        try:
            await asyncio.gather(*lanes)
        except (asyncio.CancelledError, NodeFailed):
            await cancel_all(lanes)
            raise
        return self._done

    def _add(self, more: BatchDone) -> None:
        done = self._done
        self._done = replace(
            done,
            succeeded=done.succeeded + more.succeeded,
            failed=done.failed + more.failed,
            error_code=done.error_code or more.error_code,
            error_message=done.error_message or more.error_message,
        )
        self._on_progress(more.succeeded + more.failed)
        if self._done.failed > self._extent.allowed_failures:
            self.stop()

    async def _perform(self, steps: range, share: int, width: int) -> BatchDone:
        if width > 1:
            return await self._shard(steps, share)
        opened = self._extent.opened
        if opened is not None and self._extent.node.batch > 1:
            return await self._batch(opened, steps.start)
        return await self._item(steps.start)

    async def _item(self, index: int) -> BatchDone:
        extent = self._extent
        call = StepCall(
            run=extent.run,
            node_id=extent.node.node_id,
            outputs=extent.outputs,
            item_index=index,
            item_count=extent.item_count,
            generation=extent.generation,
            prompt=extent.node.prompt,
            pages=extent.opened.pages if extent.opened is not None else None,
            local=extent.local,
        )
        try:
            await self._steps.perform(extent.node, call)
        except NodeFailed as failure:
            return BatchDone(succeeded=0, failed=1, error_code=failure.code, error_message=failure.message)
        return BatchDone(succeeded=1)

    async def _batch(self, opened: OpenedMap, batch: int) -> BatchDone:
        extent = self._extent
        call = BatchCall(
            run=extent.run,
            node_id=extent.node.node_id,
            outputs=extent.outputs,
            map_id=opened.map_id,
            pages=opened.pages,
            batch=batch,
            generation=extent.generation,
            local=extent.local,
        )
        try:
            return await self._steps.perform_batch(extent.node, call)
        except NodeFailed as failure:
            # Not an item but the batch as a whole: all of its items are without a result.
            items = min(extent.node.batch, extent.item_count - batch * extent.node.batch)
            return BatchDone(succeeded=0, failed=items, error_code=failure.code, error_message=failure.message)

    async def _shard(self, steps: range, share: int) -> BatchDone:
        extent = self._extent
        if extent.opened is None:
            raise RuntimeError("only an opened map has shards")
        start = ShardStart(
            run=extent.run,
            # Without the names of other nodes, which items do not need: there may be hundreds.
            node=replace(extent.node, upstream=[], reads=[]),
            outputs=extent.outputs,
            opened=extent.opened,
            first_step=steps.start,
            step_count=len(steps),
            window=share,
            allowed_failures=max(extent.allowed_failures - self._done.failed, 0),
            generation=extent.generation,
            is_paused=self._steps.throttle.is_paused,
            local=extent.local,
        )
        child_id = f"{extent.run.run_id}/{extent.node.node_id}.{extent.generation}/{steps.start}-{steps.stop - 1}"
        try:
            handle = await workflow.start_child_workflow(
                MAP_SHARD,
                start,
                id=child_id,
                result_type=BatchDone,
                priority=_bulk_priority(workflow.info().priority),
                search_attributes=attributes_of_shard(workflow.info().typed_search_attributes),
                static_summary=f"{extent.node.node_id} steps {steps.start}–{steps.stop - 1}",
            )
            self._shards[child_id] = handle
            if self._is_stopped:
                await _tell_to_stop(handle)
            with self._steps.throttle.telling(handle, is_paused=start.is_paused):
                done: BatchDone = await handle
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            raise NodeFailed("map.shard_failed", f"shard {child_id!r}: {error.cause or error}") from error
        except FailureError as error:
            raise NodeFailed("map.shard_failed", f"shard {child_id!r} did not start: {error.message}") from error
        finally:
            self._shards.pop(child_id, None)
        return done


def _bulk_priority(own: Priority) -> Priority:
    """Of a shard whose parent has the priority `own`; what is not said is inherited."""
    key = own.fairness_key
    if not key or key.endswith(_BULK_SUFFIX):
        return Priority.default
    weight = own.fairness_weight if own.fairness_weight is not None else 1.0
    return Priority(fairness_key=f"{key}{_BULK_SUFFIX}", fairness_weight=weight * _BULK_SHARE)


async def _tell_to_stop(handle: "workflow.ChildWorkflowHandle[object, BatchDone]") -> None:
    # A shard that has just ended needs no telling.
    with suppress(FailureError):
        await handle.signal("stop")

"""How a node of each type is performed: as one step, as the items of a map, as a gate, or as several steps in turn."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.map_payloads import (
        CLOSE_MAP,
        COLLECT_ITEMS,
        MAX_INLINE_ITEMS,
        OPEN_MAP,
        BatchDone,
        CloseMapCall,
        CollectCall,
        OpenedMap,
        OpenMapCall,
    )
    from activities.payloads import EVALUATE_CONDITION, SkeletonNode, StepDone, Verdict
    from runs.plan import COMPENSATION
    from workflows.agent_run import run_agent
    from workflows.composite_nodes import run_loop, run_race, run_tree, steps_of_tree
    from workflows.gates import Gates
    from workflows.map_run import MapRange, MapRun, allowed_failures, steps_weigh
    from workflows.run_state import RunState
    from workflows.step_calls import BOOKKEEPING, LONG_BOOKKEEPING, NodeFailed, execute
    from workflows.step_performer import StepPerformer

#: Nodes that wait for something from outside.
GATE_TYPES = frozenset({"approval", "wait"})
#: So few items are steps of their own even where they could be batched: each has its span and its row.
FEW_ITEMS = 16
#: Steps of maps that may be under way in the run's own history at once; a map beyond them runs in shards.
MAX_STEPS_UNDER_WAY = 400


class NodeRunner:
    """Performs the nodes of one run."""

    def __init__(self, state: RunState, gates: Gates, steps: StepPerformer, is_full: Callable[[], bool]) -> None:
        self._state, self._gates, self._steps, self._is_full = state, gates, steps, is_full
        #: Map → items that have ended.
        self.items_done: dict[str, int] = {}
        self._maps: dict[str, MapRun] = {}
        self._steps_under_way = 0
        self._trailing: list[asyncio.Task[Any]] = []

    async def perform(self, node: SkeletonNode) -> StepDone:
        """The node's result; raises NodeFailed, or CancelledError when it was stopped."""
        if node.type == "map":
            return await self._run_map(node)
        if node.type in GATE_TYPES:
            return await self._gates.pass_through(self._state.run, node, self._state.digests(list(node.reads)))
        if node.type in {"loop", "agent"}:
            run = run_loop if node.type == "loop" else run_agent
            return await run(self._state, node, self._steps, lambda: self._must_move_on(node))
        if node.type == "race":
            return await run_race(self._state, node, self._steps, self._trailing.append)
        if node.fan_in and (count := self._state.size_of(node)) > node.fan_in:
            return await self._run_tree(node, count)
        call = self._state.step_call(node, self._state.reads_of(node))
        return await self._steps.perform(node, call)

    async def judge(self, node: SkeletonNode) -> bool:
        """Whether a node is to run, asked where the content is that its condition reads; raises NodeFailed."""
        call = self._state.condition_call(node, str(node.when))
        return (await execute(EVALUATE_CONDITION, call, Verdict, **BOOKKEEPING)).holds

    async def take_back(self, node: SkeletonNode, compensation: SkeletonNode) -> None:
        """Performs what takes a node back; raises as `perform`."""
        call = self._state.step_call(node, list(compensation.reads), part=COMPENSATION, prompt=compensation.prompt)
        await self._steps.perform(compensation, call)

    def stop(self) -> None:
        """Lets no item of a map begin any more; what runs may still finish."""
        for running in self._maps.values():
            running.stop()

    async def settle_down(self) -> None:
        """Waits for what is being cancelled."""
        # Who waits may be cancelled; what is waited for is on its way already.
        await asyncio.shield(asyncio.gather(*self._trailing, return_exceptions=True))
        self._trailing.clear()

    async def _run_tree(self, node: SkeletonNode, count: int) -> StepDone:
        """As `run_tree`, once there is room for its steps besides those of maps and other trees."""
        steps = steps_of_tree(node, count)
        await workflow.wait_condition(lambda: not self._steps_under_way or self._has_room(steps))
        self._steps_under_way += steps
        try:
            return await run_tree(self._state, node, self._steps, count)
        finally:
            self._steps_under_way -= steps

    def _window(self, node: SkeletonNode) -> int:
        """How many steps of a map may be under way at once; its shards know of no other bound."""
        bound = self._state.opened.concurrency
        if not 0 < bound < node.window or not workflow.patched("window-within-concurrency"):
            return node.window
        return bound

    def _must_move_on(self, node: SkeletonNode) -> bool:
        """Whether a node of several steps goes on in another history; there is none after that of `finally`."""
        return self._is_full() and not (node.is_final and workflow.patched("finally-to-the-end"))

    def _has_room(self, steps: int) -> bool:
        return self._steps_under_way + steps <= MAX_STEPS_UNDER_WAY

    async def _run_map(self, node: SkeletonNode) -> StepDone:
        count = self._state.size_of(node)
        if count > node.max_items:
            raise NodeFailed(
                "map.too_large",
                f"map {node.node_id!r} has {count:,} items; {node.max_items:,} are allowed: "
                "raise its `max_items`, or split the input over runs",
            )
        redrive_of = self._state.opened.redrive.get(node.node_id)
        is_short = redrive_of is None and self._has_room(steps_weigh(node, count))
        if is_short and count <= (MAX_INLINE_ITEMS if node.batch == 1 else FEW_ITEMS):
            return await self._run_short_map(node, count)
        source = str(node.over_root)
        call = OpenMapCall(
            run=self._state.run,
            node_id=node.node_id,
            outputs=self._state.digests([source]),
            redrive_of=redrive_of,
            item_outputs=self._state.digests(list(node.reads)),
            prompt=node.prompt,
            item_local=self._state.run_as_local(node),
        )
        opened = await execute(OPEN_MAP, call, OpenedMap, **LONG_BOOKKEEPING)
        done = await self._run_items(node, count, opened)
        closing = CloseMapCall(run=self._state.run, node_id=node.node_id, opened=opened)
        _check_failures(node, count, done)
        closing = replace(closing, allow_missing=done.failed > 0)
        return await execute(CLOSE_MAP, closing, StepDone, **LONG_BOOKKEEPING)

    async def _run_short_map(self, node: SkeletonNode, count: int) -> StepDone:
        done = await self._run_items(node, count, None)
        _check_failures(node, count, done)
        call = CollectCall(run=self._state.run, node_id=node.node_id, item_count=count, allow_missing=done.failed > 0)
        return await execute(COLLECT_ITEMS, call, StepDone, **BOOKKEEPING)

    async def _run_items(self, node: SkeletonNode, count: int, opened: OpenedMap | None) -> BatchDone:
        """How the items ended; raises CancelledError when they were stopped by the failure of another node."""
        steps = count if opened is None else -(-count // node.batch)
        reads = self._state.reads_of(node) if opened is None else list(node.reads)
        weight = steps_weigh(node, steps)
        in_shards = not self._has_room(weight)
        extent = MapRange(
            run=self._state.run,
            node=node,
            outputs=self._state.digests(reads),
            opened=opened,
            item_count=count,
            first_step=0,
            step_count=steps,
            window=self._window(node),
            allowed_failures=allowed_failures(node, count),
            in_shards=in_shards,
            local=self._state.run_as_local(node),
        )

        def count_up(items: int) -> None:
            self.items_done[node.node_id] = self.items_done.get(node.node_id, 0) + items

        under_way = 0 if in_shards else weight
        self._steps_under_way += under_way
        run = self._maps[node.node_id] = MapRun(extent, count_up, self._steps)
        if not self._state.may_begin(node):
            run.stop()
        try:
            done = await run.run()
        finally:
            self._steps_under_way -= under_way
            del self._maps[node.node_id]
        is_stopped = done.succeeded + done.failed < count and done.failed <= allowed_failures(node, count)
        if is_stopped:
            # Another node has failed: what was under way is done, and nothing more begins.
            raise asyncio.CancelledError
        return done


def _check_failures(node: SkeletonNode, count: int, done: BatchDone) -> None:
    if done.failed > allowed_failures(node, count):
        raise NodeFailed(done.error_code or "step.failed", done.error_message or "items failed")

"""Nodes that are made of several steps: loops, races, and reductions in the form of a tree."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.payloads import EVALUATE_CONDITION, LoopProgress, SkeletonNode, StepCall, StepDone, Verdict
    from runs.errors import RunsError
    from runs.expressions import parse_expression
    from runs.facts import facts_as_scope
    from workflows.child_runs import settle
    from workflows.map_run import steps_weigh
    from workflows.run_state import MovingOn, RunState
    from workflows.step_calls import BOOKKEEPING, NodeFailed, NotBegun, cancel_all, execute, is_cancelled
    from workflows.step_performer import StepPerformer

#: Steps of a tree: with their events they stay far below Temporal's limits.
MAX_TREE_STEPS = 400


async def run_loop(state: RunState, node: SkeletonNode, steps: StepPerformer, is_full: Callable[[], bool]) -> StepDone:
    """The body again and again; what it gave the last time. Raises NodeFailed, or MovingOn when history `is_full`."""
    begun = state.loops.get(node.node_id)
    last = begun.last if begun is not None else None
    first = begun.iteration if begun is not None else 0
    due = begun.due if begun is not None else None
    for iteration in range(first, node.max_iterations):
        if last is not None and iteration > first and node.delay_seconds:
            due = workflow.time() + node.delay_seconds
        if due is not None:
            await _delay(state, node, due, is_full)
        if last is not None and (iteration > first or _is_early(due)) and is_full():
            state.loops[node.node_id] = LoopProgress(iteration=iteration, last=last, due=due)
            raise MovingOn
        due = None
        if not state.may_begin(node):
            raise asyncio.CancelledError
        call = state.step_call(
            node,
            part=f"iteration:{iteration}",
            local={"iteration": iteration},
            local_refs={"last": last.digest if last is not None else None},
        )
        last = await steps.perform(node, call)
        if await _is_over(state, node, iteration, last):
            break
    else:
        if node.until is not None and node.on_exhausted == "fail":
            message = f"`until` of loop {node.node_id!r} did not hold within {node.max_iterations} iterations"
            raise NodeFailed("loop.exhausted", message)
    if last is None:
        raise NodeFailed("loop.exhausted", f"loop {node.node_id!r} has no iterations")
    return await settle(state.step_call(node), last, kind="loop")


async def _delay(state: RunState, node: SkeletonNode, due: float, is_full: Callable[[], bool]) -> None:
    """Until the next iteration is due, or none is to come: another node has failed, or history is full."""
    # To the millisecond: Temporal takes less for no time at all.
    seconds = round(due - workflow.time(), 3)
    if seconds <= 0:
        return
    with suppress(TimeoutError):
        await workflow.wait_condition(
            lambda: not state.may_begin(node) or is_full(),
            timeout=seconds,
            timeout_summary=f"delay of loop {node.node_id}",
        )


def _is_early(due: float | None) -> bool:
    return due is not None and due > workflow.time()


async def _is_over(state: RunState, node: SkeletonNode, iteration: int, done: StepDone) -> bool:
    if node.until is None:
        return False
    if state.needs_content(node.until, done.facts):
        more: dict[str, Any] = {"local": {"iteration": iteration}, "local_refs": {"last": done.digest}}
        call = state.condition_call(node, node.until, **more)
        return (await execute(EVALUATE_CONDITION, call, Verdict, **BOOKKEEPING)).holds
    known = {**state.condition_scope(), **state.run_as_local(node)}
    scope: dict[str, Any] = {**known, "iteration": iteration, "last": facts_as_scope(done.facts)}
    try:
        return parse_expression(node.until).holds(scope, dialect=state.opened.dialect)
    except RunsError as error:
        raise NodeFailed(error.code, str(error)) from error


async def run_race(
    state: RunState, node: SkeletonNode, steps: StepPerformer, trail: Callable[["asyncio.Task[Any]"], None]
) -> StepDone:
    """The result of the first branch that succeeds; `trail` gets what is left of the others, which are cancelled.

    Raises NodeFailed when none succeeds.
    """
    race = _Race(state, node, steps)
    try:
        winner = await race.winner()
    except asyncio.CancelledError:
        await cancel_all(race.tasks.values())
        raise
    finally:
        trail(asyncio.create_task(cancel_all(race.tasks.values())))
    return await settle(state.step_call(node), winner, kind="race")


class _Race:
    """The branches of one race, which set out in the order of their times."""

    def __init__(self, state: RunState, node: SkeletonNode, steps: StepPerformer) -> None:
        self._state, self._node, self._steps = state, node, steps
        self._failures: dict[str, NodeFailed] = {}
        #: Set when all that have set out have failed: then nobody waits any longer.
        self._nobody_left = asyncio.Event()
        self._under_way = 0
        self.tasks = {branch.node_id: asyncio.create_task(self._run(branch)) for branch in node.branches}

    async def winner(self) -> StepDone:
        """The first result; of several that come at once, that of the branch that stands first."""
        pending = list(self.tasks.values())
        while pending:
            _, pending = await workflow.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in self.tasks.values():
                if task.done() and (done := task.result()) is not None:
                    return done
        told = "; ".join(f"{name}: {failure.message}" for name, failure in self._failures.items())
        raise NodeFailed("race.lost", f"no branch of race {self._node.node_id!r} succeeded: {told}")

    async def _run(self, branch: SkeletonNode) -> StepDone | None:
        """What the branch gives; None when it fails."""
        if branch.after_seconds:
            await self._wait(branch)
        self._under_way += 1
        self._nobody_left.clear()
        call = self._state.step_call(
            self._node, list(branch.reads), part=f"branch:{branch.node_id}", prompt=branch.prompt
        )
        try:
            return await self._steps.perform(branch, call)
        except (NodeFailed, NotBegun) as failure:
            told = failure if isinstance(failure, NodeFailed) else NodeFailed("race.not_begun", "it did not begin")
            self._failures[branch.node_id] = told
            self._under_way -= 1
            if not self._under_way:
                self._nobody_left.set()
            return None

    async def _wait(self, branch: SkeletonNode) -> None:
        due, seconds = workflow.time() + branch.after_seconds, branch.after_seconds
        while seconds > 0:
            try:
                await asyncio.wait_for(self._nobody_left.wait(), seconds)
            except TimeoutError:
                return
            # All that wait are woken; another may stand before it.
            if self._is_next(branch) or not workflow.patched("branches-in-turn"):
                return
            seconds = due - workflow.time()

    def _is_next(self, branch: SkeletonNode) -> bool:
        """Whether all that set out before a branch have failed."""
        before = (other.node_id for other in self._node.branches if other.after_seconds < branch.after_seconds)
        return all(name in self._failures for name in before)


def steps_of_tree(node: SkeletonNode, count: int) -> int:
    """How many steps it takes to reduce so many items part by part; each level is at most half of the one before."""
    total, width = 0, count
    while width > 1:
        width = -(-width // node.fan_in)
        total += width
    return total * steps_weigh(node, 1)


async def run_tree(state: RunState, node: SkeletonNode, steps: StepPerformer, count: int) -> StepDone:
    """A list part by part, and the results of the parts again, until there is one; raises NodeFailed."""
    fan_in, total = node.fan_in, steps_of_tree(node, count)
    if total > MAX_TREE_STEPS:
        raise NodeFailed(
            "reduce.too_large",
            f"reduce {node.node_id!r} would take {total:,} steps for {count:,} items; {MAX_TREE_STEPS} are allowed: "
            "raise its `fan_in`",
        )
    reads = state.reads_of(node)
    calls = [
        state.step_call(
            node,
            reads,
            part=f"level:0.{place}",
            items_from=first,
            items_to=min(first + fan_in, count),
        )
        for place, first in enumerate(range(0, count, fan_in))
    ]
    level, results = 0, await _in_window(state, node, calls, steps)
    while len(results) > 1:
        level += 1
        digests = [done.digest for done in results]
        calls = [
            state.step_call(node, part=f"level:{level}.{place}", item_refs=digests[first : first + fan_in])
            for place, first in enumerate(range(0, len(digests), fan_in))
        ]
        results = await _in_window(state, node, calls, steps)
    return await settle(state.step_call(node), results[0], kind="reduce")


async def _in_window(
    state: RunState, node: SkeletonNode, calls: list[StepCall], steps: StepPerformer
) -> list[StepDone]:
    """The results of steps of which so many are under way at once, in their order."""
    waiting = deque(enumerate(calls))
    results: dict[int, StepDone] = {}

    async def lane() -> None:
        while waiting and state.may_begin(node) and not is_cancelled(node):
            place, call = waiting.popleft()
            try:
                results[place] = await steps.perform(node, call)
            except NotBegun:
                return

    lanes = [asyncio.create_task(lane()) for _ in range(min(node.window, len(calls)))]
    try:
        await asyncio.gather(*lanes)
    except (asyncio.CancelledError, NodeFailed):
        await cancel_all(lanes)
        raise
    if len(results) < len(calls):
        raise asyncio.CancelledError
    return [results[place] for place in range(len(calls))]

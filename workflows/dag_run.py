"""The generic workflow: one interpreter for every DAG, which holds references and facts and never documents."""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

with workflow.unsafe.imports_passed_through():
    from activities.payloads import (
        CLOSE_RUN,
        COLLECT_ITEMS,
        OPEN_RUN,
        STEP_ACTIVITIES,
        STEP_QUEUES,
        CloseCall,
        CollectCall,
        NodeOutcome,
        OpenedRun,
        RunProgress,
        RunResult,
        RunStart,
        SkeletonNode,
        StepCall,
        StepDone,
    )
    from runs.errors import RunsError
    from runs.expressions import parse_expression
    from runs.facts import facts_as_scope
    from runs.plan import Fact, NodeState
    from workflows.step_scheduler import StepScheduler

#: Items of a map that run in the run's own history; its events stay far below Temporal's limits.
MAX_INLINE_ITEMS = 200
MAX_ERROR_CHARACTERS = 2_000
#: Bookkeeping is our own database: it is worth waiting for a restart of it.
_BOOKKEEPING: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=10)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """The first thing that went wrong."""

    code: str
    message: str
    node_id: str | None = None


class _NodeFailed(Exception):  # internal
    """A node has failed for good."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message[:MAX_ERROR_CHARACTERS]
        super().__init__(message)


@workflow.defn(name="AgentDag")
class AgentDag:
    """Runs a compiled DAG.

    On the first failure nothing more begins; what runs finishes, because it is paid for and its result is kept.
    """

    def __init__(self) -> None:
        self._start: RunStart
        self._nodes: dict[str, SkeletonNode] = {}
        self._input_facts: dict[str, Any] = {}
        self._outcomes: dict[str, NodeOutcome] = {}
        self._failure: _Failure | None = None
        self._scheduler = StepScheduler({})
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._items_done: dict[str, int] = {}
        self._wake: asyncio.Future[None] | None = None

    @workflow.run
    async def run(self, start: RunStart) -> RunResult:
        """Runs to the end, or continues as new; fails when a node fails, is cancelled when someone cancels it."""
        self._start = start
        opened: OpenedRun | None = None
        try:
            opened = await self._open()
            await self._drive()
        except asyncio.CancelledError:
            return await self._cancelled(opened)
        except ActivityError as error:
            if is_cancelled_exception(error):
                return await self._cancelled(opened)
            self._failure = _Failure(code=_code_of(error), message=_message_of(error))
        if self._failure is None and self._nodes and self._should_continue_as_new():
            self._continue_as_new(opened)
        return await self._finished(opened)

    @workflow.query(name="status")
    def status(self) -> dict[str, Any]:
        """Node id → state, and items done for maps."""
        states = {node_id: state.value for node_id, state in self._scheduler.states.items()}
        return {"nodes": states, "items_done": self._items_done}

    async def _open(self) -> OpenedRun:
        progress = self._start.progress
        if progress is not None:
            opened, self._outcomes = progress.opened, dict(progress.outcomes)
        else:
            opened = await workflow.execute_activity(OPEN_RUN, self._start.run, result_type=OpenedRun, **_BOOKKEEPING)
        self._nodes = {node.node_id: node for node in opened.nodes}
        self._input_facts = opened.input_facts
        self._scheduler = StepScheduler(
            {node.node_id: node.upstream for node in opened.nodes},
            {node_id: NodeState(outcome.state) for node_id, outcome in self._outcomes.items()},
        )
        return opened

    async def _drive(self) -> None:
        """Starts what is ready and sleeps until something ends; one wake-up for however many ended together."""
        while True:
            if self._should_continue_as_new():
                self._scheduler.stop()
            for node_id in self._scheduler.take_ready():
                self._begin(self._nodes[node_id])
            if not self._tasks:
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            # A cancellation that arrives in one task with a completion would be lost without this look.
            if workflow.cancellation_reason() is not None:
                raise asyncio.CancelledError

    def _begin(self, node: SkeletonNode) -> None:
        try:
            if not self._condition_holds(node):
                self._end(node.node_id, NodeOutcome(state=NodeState.SKIPPED))
                return
        except RunsError as error:
            self._fail(node.node_id, error.code, str(error))
            return
        self._tasks[node.node_id] = asyncio.create_task(self._run_node(node))

    async def _run_node(self, node: SkeletonNode) -> None:
        try:
            done = await (self._run_map(node) if node.type == "map" else self._step(node))
        except _NodeFailed as failure:
            self._fail(node.node_id, failure.code, failure.message)
        except asyncio.CancelledError:
            self._end(node.node_id, NodeOutcome(state=NodeState.CANCELLED))
        else:
            outcome = NodeOutcome(state=NodeState.SUCCEEDED, digest=done.digest, facts=done.facts)
            self._end(node.node_id, outcome)
        finally:
            self._tasks.pop(node.node_id, None)
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)

    async def _run_map(self, node: SkeletonNode) -> StepDone:
        count = self._size_of(node)
        if count > MAX_INLINE_ITEMS:
            raise _NodeFailed(
                "map.too_large",
                f"map {node.node_id!r} has {count} items; {MAX_INLINE_ITEMS} are allowed: split the input over runs",
            )
        waiting = deque(range(count))

        async def lane() -> None:
            while waiting and self._failure is None:
                index = waiting.popleft()
                try:
                    await self._step(node, item_index=index, item_count=count)
                except BaseException:
                    waiting.clear()
                    raise
                self._items_done[node.node_id] = self._items_done.get(node.node_id, 0) + 1

        lanes = [asyncio.create_task(lane()) for _ in range(min(node.window, count))]
        try:
            results = await asyncio.gather(*lanes, return_exceptions=True)
        except asyncio.CancelledError:
            await _cancel_all(lanes)
            raise
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if self._items_done.get(node.node_id, 0) < count:
            # Another node has failed: what was under way is done, and nothing more begins.
            raise asyncio.CancelledError
        call = CollectCall(run=self._start.run, node_id=node.node_id, item_count=count)
        return await self._execute(COLLECT_ITEMS, call, **_BOOKKEEPING)

    async def _step(
        self, node: SkeletonNode, *, item_index: int | None = None, item_count: int | None = None
    ) -> StepDone:
        reads = dict.fromkeys(node.reads)
        if node.over_root not in {None, "inputs"}:
            reads[str(node.over_root)] = None
        call = StepCall(
            run=self._start.run,
            node_id=node.node_id,
            outputs={read: self._outcomes[read].digest for read in reads if read in self._outcomes},
            item_index=item_index,
            item_count=item_count,
            prompt=node.prompt,
        )
        return await self._execute(
            STEP_ACTIVITIES[node.kind],
            call,
            task_queue=STEP_QUEUES[node.kind],
            summary=node.node_id if item_index is None else f"{node.node_id}[{item_index}]",
            start_to_close_timeout=timedelta(seconds=node.run_seconds),
            heartbeat_timeout=timedelta(seconds=node.idle_seconds),
            schedule_to_start_timeout=_optional(node.queue_seconds),
            schedule_to_close_timeout=_optional(node.total_seconds),
            retry_policy=RetryPolicy(
                maximum_attempts=node.attempts,
                initial_interval=timedelta(seconds=node.initial_seconds),
                backoff_coefficient=node.factor,
                maximum_interval=timedelta(seconds=max(node.max_seconds, node.initial_seconds)),
            ),
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL
            if node.kind == "llm"
            else workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def _execute(self, activity: str, call: StepCall | CollectCall, **options: Any) -> StepDone:
        try:
            done: StepDone = await workflow.execute_activity(activity, call, result_type=StepDone, **options)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            raise _NodeFailed(_code_of(error), _message_of(error)) from error
        except ApplicationError as error:
            # The call itself does not fit into history.
            raise _NodeFailed(error.type or "step.failed", error.message) from error
        return done

    def _condition_holds(self, node: SkeletonNode) -> bool:
        if node.when is None:
            return True
        return parse_expression(node.when).evaluate(self._condition_scope()) is True

    def _condition_scope(self) -> dict[str, Any]:
        inputs = facts_as_scope(self._input_facts)
        scope: dict[str, Any] = {**inputs} if isinstance(inputs, dict) else {}
        scope["inputs"] = inputs
        for node_id, outcome in self._outcomes.items():
            output = None if outcome.digest is None else facts_as_scope(outcome.facts)
            scope[node_id] = {"output": output, "status": str(outcome.state)}
        return scope

    def _size_of(self, node: SkeletonNode) -> int:
        fact = Fact(path=tuple(node.over_path), kind="size").key
        root = str(node.over_root)
        outcome = self._outcomes.get(root)
        if outcome is not None and outcome.digest is None:
            return 0
        facts = self._input_facts if outcome is None else outcome.facts
        size = facts.get(fact, -1)
        if size < 0:
            path = ".".join((root, *node.over_path))
            raise _NodeFailed("map.not_a_list", f"{path!r} is not a list; map {node.node_id!r} needs one")
        return int(size)

    def _end(self, node_id: str, outcome: NodeOutcome) -> None:
        self._outcomes[node_id] = outcome
        self._scheduler.finish(node_id, NodeState(outcome.state))
        if outcome.state == NodeState.SKIPPED:
            for other, state in self._scheduler.states.items():
                if state is NodeState.SKIPPED and other not in self._outcomes:
                    self._outcomes[other] = NodeOutcome(state=NodeState.SKIPPED)

    def _fail(self, node_id: str, code: str, message: str) -> None:
        if self._failure is None:
            self._failure = _Failure(code=code, message=message[:MAX_ERROR_CHARACTERS], node_id=node_id)
        self._scheduler.stop()
        self._end(node_id, NodeOutcome(state=NodeState.FAILED))

    def _should_continue_as_new(self) -> bool:
        info = workflow.info()
        if info.get_current_history_length() < self._start.history_limit_events:
            return info.is_continue_as_new_suggested()
        return True

    def _continue_as_new(self, opened: OpenedRun | None) -> None:
        if opened is None or all(state is not NodeState.PENDING for state in self._scheduler.states.values()):
            return
        progress = RunProgress(opened=opened, outcomes=self._outcomes)
        limit = self._start.history_limit_events
        workflow.continue_as_new(RunStart(run=self._start.run, progress=progress, history_limit_events=limit))

    async def _finished(self, opened: OpenedRun | None) -> RunResult:
        self._scheduler.cancel_pending()
        state = "succeeded" if self._failure is None else "failed"
        result = await self._close(opened, state)
        if self._failure is not None:
            where = f"node {self._failure.node_id!r}: " if self._failure.node_id else ""
            raise ApplicationError(f"{where}{self._failure.message}", type=self._failure.code, non_retryable=True)
        if result.state == "failed":
            raise ApplicationError("the run's outputs could not be made", type="run.outputs_failed", non_retryable=True)
        return result

    async def _cancelled(self, opened: OpenedRun | None) -> RunResult:
        await _cancel_all(list(self._tasks.values()))
        self._scheduler.cancel_pending()
        await self._close(opened, "cancelled")
        raise asyncio.CancelledError

    async def _close(self, opened: OpenedRun | None, state: str) -> RunResult:
        reads = opened.output_reads if opened is not None else []
        call = CloseCall(
            run=self._start.run,
            state=state,
            node_states={node_id: node_state.value for node_id, node_state in self._scheduler.states.items()},
            outputs={read: self._outcomes[read].digest for read in reads if read in self._outcomes},
            error_code=self._failure.code if self._failure else None,
            error_message=self._failure.message if self._failure else None,
            failed_node=self._failure.node_id if self._failure else None,
        )
        closing: asyncio.Task[RunResult] = asyncio.create_task(
            workflow.execute_activity(CLOSE_RUN, call, result_type=RunResult, **_BOOKKEEPING)
        )
        try:
            return await asyncio.shield(closing)
        except asyncio.CancelledError:
            # A cancellation that comes this late finds everything done; how it ended is recorded all the same.
            return await closing


async def _cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _optional(seconds: float | None) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds is not None else None


def _code_of(error: ActivityError) -> str:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type:
        return cause.type
    return "step.timeout" if isinstance(cause, ActivityTimeoutError) else "step.failed"


def _message_of(error: ActivityError) -> str:
    cause = error.cause
    if isinstance(cause, ActivityTimeoutError):
        return f"{error.activity_type} ran into its {cause.type.name.lower() if cause.type else ''} timeout"
    return str(cause.message if isinstance(cause, ApplicationError) else cause or error)

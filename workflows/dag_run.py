"""The generic workflow: one interpreter for every DAG, which holds references and facts and never documents."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.packing import pack_progress, unpack_opened, unpack_progress
    from activities.payloads import (
        CLOSE_MAP,
        CLOSE_RUN,
        COLLECT_ITEMS,
        DECIDE,
        DELIVER,
        MAX_INLINE_ITEMS,
        OPEN_MAP,
        OPEN_RUN,
        STATE_PREFIX,
        BatchDone,
        CloseCall,
        CloseMapCall,
        CollectCall,
        Decision,
        Delivery,
        NodeOutcome,
        OpenedMap,
        OpenedRun,
        OpenMapCall,
        RunProgress,
        RunResult,
        RunStart,
        SkeletonNode,
        StepCall,
        StepDone,
    )
    from agentflow.digest import canonical_json
    from runs.errors import RunsError
    from runs.expressions import parse_expression
    from runs.facts import facts_as_scope
    from runs.plan import Fact, NodeState
    from workflows.gates import Gates
    from workflows.map_run import MapRange, MapRun, allowed_failures
    from workflows.step_calls import (
        BOOKKEEPING,
        LONG_BOOKKEEPING,
        MAX_ERROR_CHARACTERS,
        NodeFailed,
        cancel_all,
        code_of,
        execute,
        execute_step,
        message_of,
    )
    from workflows.step_scheduler import StepScheduler

#: The signal that asks a run to go on with newer code.
UPGRADE = "upgrade"
#: Nodes that wait for something from outside.
GATE_TYPES = frozenset({"approval", "wait"})
#: So few items are steps of their own even where they could be batched: each has its span and its row.
FEW_ITEMS = 16
#: Steps of maps that may be under way in the run's own history at once; a map beyond them runs in shards.
MAX_STEPS_UNDER_WAY = 400
#: With the states and outputs of as many nodes as there may be, still one payload.
MAX_CLOSING_CHARACTERS = 1_000
#: Facts are carried over when the run continues as new, all of them in one payload.
MAX_FACTS_BYTES = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """The first thing that went wrong."""

    code: str
    message: str
    node_id: str | None = None


@workflow.defn(name="AgentDag")
class AgentDag:
    """Runs a compiled DAG.

    On the first failure nothing more begins; what runs finishes, because it is paid for and its result is kept.
    """

    def __init__(self) -> None:
        self._start: RunStart
        self._nodes: dict[str, SkeletonNode] = {}
        self._input_facts: dict[str, Any] = {}
        #: Map → the run whose finished items it takes over.
        self._redrive: dict[str, str] = {}
        self._outcomes: dict[str, NodeOutcome] = {}
        self._failure: _Failure | None = None
        self._scheduler = StepScheduler({})
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._items_done: dict[str, int] = {}
        self._maps: dict[str, MapRun] = {}
        self._steps_under_way = 0
        self._facts_bytes = 0
        self._gates = Gates()
        #: True while the run goes on in a new history, and what waits is only put down.
        self._is_moving = False
        #: Whether someone has asked the run to go on with the code that new runs get.
        self._wants_upgrade = False
        #: What our own code did not foresee.
        self._defect: Exception | None = None
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
            self._failure = _Failure(code=code_of(error), message=message_of(error))
        if self._failure is None and self._nodes and (self._is_moving or self._should_continue_as_new()):
            self._continue_as_new(opened)
        return await self._finished(opened)

    @workflow.query(name="status")
    def status(self) -> dict[str, Any]:
        """Node id → state, and items done for maps."""
        states = {node_id: state.value for node_id, state in self._scheduler.states.items()}
        return {"nodes": states, "items_done": self._items_done}

    @workflow.update(name=DECIDE)
    def decide(self, decision: Decision) -> None:
        """A person's decision on what an approval shows."""
        self._gates.decide(decision)

    @decide.validator
    def _check_decision(self, decision: Decision) -> None:
        self._gates.check_decision(decision)

    @workflow.update(name=DELIVER)
    def deliver(self, delivery: Delivery) -> None:
        """An event that something waits for."""
        self._gates.deliver(delivery)

    @deliver.validator
    def _check_delivery(self, delivery: Delivery) -> None:
        self._gates.check_delivery(delivery)

    @workflow.signal(name=UPGRADE)
    def upgrade(self) -> None:
        """Asks the run to go on with the build that new runs get, once it does nothing but wait."""
        self._wants_upgrade = True
        self._wake_up()

    async def _open(self) -> OpenedRun:
        if self._start.progress is not None:
            progress = unpack_progress(self._start.progress)
            opened, self._outcomes = progress.opened, dict(progress.outcomes)
        else:
            found = await workflow.execute_activity(OPEN_RUN, self._start.run, result_type=OpenedRun, **BOOKKEEPING)
            opened = unpack_opened(found)
            self._outcomes = dict(opened.reused)
        self._facts_bytes = sum(_facts_bytes(outcome.facts) for outcome in self._outcomes.values())
        self._nodes = {node.node_id: node for node in opened.nodes}
        self._input_facts = opened.input_facts
        self._redrive = opened.redrive
        self._scheduler = StepScheduler(
            {node.node_id: node.upstream for node in opened.nodes},
            {node_id: NodeState(outcome.state) for node_id, outcome in self._outcomes.items()},
            tolerated=[node.node_id for node in opened.nodes if node.on_error == "continue"],
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
            if (self._should_continue_as_new() or self._may_upgrade()) and self._only_gates_wait():
                # Activities do not survive it, and gates do: they are opened again where they were.
                self._is_moving = True
                await cancel_all(list(self._tasks.values()))
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            if self._defect is not None:
                # Temporal tries the workflow task again, until code is deployed that can go on.
                raise self._defect
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
            done = await self._perform(node)
        except NodeFailed as failure:
            self._fail(node.node_id, failure.code, failure.message)
        except asyncio.CancelledError:
            if not self._is_moving:
                self._end(node.node_id, NodeOutcome(state=NodeState.CANCELLED))
        except FailureError as error:
            # What Temporal itself refuses would end the workflow, and nobody would close the run.
            self._fail(node.node_id, "step.failed", error.message)
        except Exception as error:  # noqa: BLE001  # The edge of a task: what nobody awaits would be lost.
            self._defect = error
        else:
            self._succeed(node.node_id, done)
        finally:
            self._tasks.pop(node.node_id, None)
            self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _perform(self, node: SkeletonNode) -> StepDone:
        if node.type == "map":
            return await self._run_map(node)
        if node.type in GATE_TYPES:
            return await self._gates.pass_through(self._start.run, node, self._digests(list(node.reads)))
        return await self._step(node)

    def _succeed(self, node_id: str, done: StepDone) -> None:
        self._facts_bytes += _facts_bytes(done.facts)
        if self._facts_bytes > MAX_FACTS_BYTES:
            message = f"the facts of all nodes have more than {MAX_FACTS_BYTES:,} bytes; let conditions read less"
            self._fail(node_id, "fact.too_large", message)
            return
        self._end(node_id, NodeOutcome(state=NodeState.SUCCEEDED, digest=done.digest, facts=done.facts))

    async def _run_map(self, node: SkeletonNode) -> StepDone:
        count = self._size_of(node)
        if count > node.max_items:
            raise NodeFailed(
                "map.too_large",
                f"map {node.node_id!r} has {count:,} items; {node.max_items:,} are allowed: "
                "raise its `max_items`, or split the input over runs",
            )
        is_short = node.node_id not in self._redrive and self._steps_under_way + count <= MAX_STEPS_UNDER_WAY
        if is_short and count <= (MAX_INLINE_ITEMS if node.batch == 1 else FEW_ITEMS):
            return await self._run_short_map(node, count)
        source = str(node.over_root)
        call = OpenMapCall(
            run=self._start.run,
            node_id=node.node_id,
            outputs=self._digests([source]),
            redrive_of=self._redrive.get(node.node_id),
            item_outputs=self._digests(list(node.reads)),
            prompt=node.prompt,
        )
        opened = await execute(OPEN_MAP, call, OpenedMap, **LONG_BOOKKEEPING)
        done = await self._run_items(node, count, opened)
        closing = CloseMapCall(run=self._start.run, node_id=node.node_id, opened=opened)
        if done.failed > allowed_failures(node, count):
            raise NodeFailed(done.error_code or "step.failed", done.error_message or "items failed")
        closing = replace(closing, allow_missing=done.failed > 0)
        return await execute(CLOSE_MAP, closing, StepDone, **LONG_BOOKKEEPING)

    async def _run_short_map(self, node: SkeletonNode, count: int) -> StepDone:
        done = await self._run_items(node, count, None)
        if done.failed > allowed_failures(node, count):
            raise NodeFailed(done.error_code or "step.failed", done.error_message or "items failed")
        call = CollectCall(run=self._start.run, node_id=node.node_id, item_count=count, allow_missing=done.failed > 0)
        return await execute(COLLECT_ITEMS, call, StepDone, **BOOKKEEPING)

    async def _run_items(self, node: SkeletonNode, count: int, opened: OpenedMap | None) -> BatchDone:
        """How the items ended; raises CancelledError when they were stopped by the failure of another node."""
        steps = count if opened is None else -(-count // node.batch)
        reads = list(node.reads)
        if opened is None and node.over_root != "inputs":
            reads.append(str(node.over_root))
        in_shards = self._steps_under_way + steps > MAX_STEPS_UNDER_WAY
        extent = MapRange(
            run=self._start.run,
            node=node,
            outputs=self._digests(reads),
            opened=opened,
            item_count=count,
            first_step=0,
            step_count=steps,
            window=node.window,
            allowed_failures=allowed_failures(node, count),
            in_shards=in_shards,
        )

        def count_up(items: int) -> None:
            self._items_done[node.node_id] = self._items_done.get(node.node_id, 0) + items

        under_way = 0 if in_shards else steps
        self._steps_under_way += under_way
        run = self._maps[node.node_id] = MapRun(extent, count_up)
        if self._failure is not None:
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

    async def _step(self, node: SkeletonNode) -> StepDone:
        reads = list(node.reads)
        if node.over_root not in {None, "inputs"}:
            reads.append(str(node.over_root))
        call = StepCall(run=self._start.run, node_id=node.node_id, outputs=self._digests(reads), prompt=node.prompt)
        return await execute_step(node, call)

    def _digests(self, reads: list[str]) -> dict[str, str | None]:
        """Node id → digest, once for each of `reads` that is a node that has ended."""
        return {read: _reference(self._outcomes[read]) for read in dict.fromkeys(reads) if read in self._outcomes}

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
            raise NodeFailed("map.not_a_list", f"{path!r} is not a list; map {node.node_id!r} needs one")
        return int(size)

    def _end(self, node_id: str, outcome: NodeOutcome) -> None:
        self._outcomes[node_id] = outcome
        self._scheduler.finish(node_id, NodeState(outcome.state))
        if outcome.state == NodeState.SKIPPED:
            for other, state in self._scheduler.states.items():
                if state is NodeState.SKIPPED and other not in self._outcomes:
                    self._outcomes[other] = NodeOutcome(state=NodeState.SKIPPED)

    def _fail(self, node_id: str, code: str, message: str) -> None:
        if self._nodes[node_id].on_error == "continue":
            self._end(node_id, NodeOutcome(state=NodeState.FAILED))
            return
        if self._failure is None:
            self._failure = _Failure(code=code, message=message[:MAX_ERROR_CHARACTERS], node_id=node_id)
        self._scheduler.stop()
        for running in self._maps.values():
            running.stop()
        self._end(node_id, NodeOutcome(state=NodeState.FAILED))

    def _only_gates_wait(self) -> bool:
        waiting = all(self._nodes[node_id].type in GATE_TYPES for node_id in self._tasks)
        return waiting and not self._gates.has_arrivals and self._gates.are_open(len(self._tasks))

    def _may_upgrade(self) -> bool:
        is_asked = self._wants_upgrade and self._failure is None
        return is_asked and workflow.info().is_target_worker_deployment_version_changed()

    def _should_continue_as_new(self) -> bool:
        info = workflow.info()
        if info.get_current_history_length() < self._start.history_limit_events:
            return info.is_continue_as_new_suggested()
        return True

    def _continue_as_new(self, opened: OpenedRun | None) -> None:
        unfinished = {NodeState.PENDING, NodeState.RUNNING}
        if opened is None or unfinished.isdisjoint(self._scheduler.states.values()):
            return
        progress = RunProgress(opened=replace(opened, reused={}), outcomes=self._outcomes)
        limit = self._start.history_limit_events
        carried = RunStart(run=self._start.run, progress=pack_progress(progress), history_limit_events=limit)
        # On the build that new runs get: a run that is pinned to an older one would be so for ever.
        behaviour = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        workflow.continue_as_new(carried, initial_versioning_behavior=behaviour)

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
        await cancel_all(list(self._tasks.values()))
        self._scheduler.cancel_pending()
        await self._close(opened, "cancelled")
        raise asyncio.CancelledError

    async def _close(self, opened: OpenedRun | None, state: str) -> RunResult:
        reads = opened.output_reads if opened is not None else []
        call = CloseCall(
            run=self._start.run,
            state=state,
            node_states={node_id: node_state.value for node_id, node_state in self._scheduler.states.items()},
            outputs=self._digests(reads),
            error_code=self._failure.code if self._failure else None,
            error_message=self._failure.message[:MAX_CLOSING_CHARACTERS] if self._failure else None,
            failed_node=self._failure.node_id if self._failure else None,
        )
        closing: asyncio.Task[RunResult] = asyncio.create_task(
            workflow.execute_activity(CLOSE_RUN, call, result_type=RunResult, **BOOKKEEPING)
        )
        try:
            return await asyncio.shield(closing)
        except asyncio.CancelledError:
            # A cancellation that comes this late finds everything done; how it ended is recorded all the same.
            return await closing


def _facts_bytes(facts: dict[str, Any]) -> int:
    return len(canonical_json(facts)) if facts else 0


def _reference(outcome: NodeOutcome) -> str | None:
    """The digest of a node's output; its state where it failed and the run went on; None where it was skipped."""
    if outcome.digest is None and outcome.state == NodeState.FAILED:
        return f"{STATE_PREFIX}{outcome.state}"
    return outcome.digest

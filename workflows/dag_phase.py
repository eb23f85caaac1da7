"""The nodes of one phase of a run, from the first that is ready to the last that ends."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.payloads import NodeOutcome, SkeletonNode, StepDone
    from runs.errors import RunsError
    from runs.plan import NodeState
    from workflows.gates import Gates
    from workflows.node_run import GATE_TYPES, NodeRunner
    from workflows.run_state import MAX_TOLD_CHARACTERS, Failure, MovingOn, RunState
    from workflows.step_calls import MAX_ERROR_CHARACTERS, NodeFailed, NotBegun, cancel_all
    from workflows.step_performer import StepPerformer
    from workflows.step_scheduler import StepScheduler


class DagPhase:
    """Starts what is ready and sleeps until something ends; one wake-up for however many ended together.

    On the first failure nothing more begins; what runs finishes, because it is paid for and its result is kept. The
    nodes of `finally` go on: each is there for its own sake.
    """

    def __init__(
        self,
        state: RunState,
        runner: NodeRunner,
        gates: Gates,
        steps: StepPerformer,
        nodes: Sequence[SkeletonNode],
    ) -> None:
        self._state, self._runner, self._gates, self._steps = state, runner, gates, steps
        known = {node.node_id for node in nodes}
        self._scheduler = StepScheduler(
            {node.node_id: [before for before in node.upstream if before in known] for node in nodes},
            {node_id: NodeState(outcome.state) for node_id, outcome in state.outcomes.items() if node_id in known},
            tolerated=[node.node_id for node in nodes if node.on_error == "continue"],
            judging=[node.node_id for node in nodes if node.depends is not None],
        )
        # Behind what an earlier run has skipped there may be a node that is new to it.
        self._note_skipped()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: True while the run goes on in a new history, and what waits is only put down.
        self.is_moving = False
        #: What our own code did not foresee.
        self._defect: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

    @property
    def states(self) -> dict[str, NodeState]:
        """Where each node stands."""
        return dict(self._scheduler.states)

    @property
    def is_over(self) -> bool:
        """Whether every node has ended."""
        return {NodeState.PENDING, NodeState.RUNNING}.isdisjoint(self._scheduler.states.values())

    async def run(
        self,
        is_full: Callable[[], bool],
        may_upgrade: Callable[[], bool] = lambda: False,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """Until every node has ended, or history `is_full`: then what runs finishes first. Raises CancelledError.

        A run that `may_upgrade` to newer code does so as soon as it does nothing but wait. `on_turn` is told before
        every wait that nodes have begun or ended.
        """
        while True:
            if is_full():
                self._scheduler.stop()
            if not self._steps.throttle.is_paused:
                for node_id in self._scheduler.take_ready():
                    self._begin(self._state.nodes[node_id])
            if not self._tasks and not (self._steps.throttle.is_paused and self._scheduler.has_ready):
                return
            if (is_full() or may_upgrade()) and self._only_gates_wait():
                # Activities do not survive it, and gates do: they are opened again where they were.
                self.is_moving = True
                await cancel_all(list(self._tasks.values()))
                return
            on_turn()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            if self._defect is not None:
                # Temporal tries the workflow task again, until code is deployed that can go on.
                raise self._defect
            # A cancellation that arrives in one task with a completion would be lost without this look.
            if self._state.ending is None and workflow.cancellation_reason() is not None:
                raise asyncio.CancelledError

    def wake(self) -> None:
        """Has a look around, because something has changed."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def cancel(self) -> None:
        """Cancels what runs, and waits until it has ended."""
        await cancel_all(list(self._tasks.values()))

    def close(self) -> None:
        """Marks what has not ended as cancelled; nothing is under way any more."""
        self._scheduler.cancel_rest()

    def _begin(self, node: SkeletonNode) -> None:
        try:
            holds = self._state.condition_holds(node)
        except RunsError as error:
            self._fail(node.node_id, error.code, str(error))
            return
        if holds is False:
            self._end(node.node_id, NodeOutcome(state=NodeState.SKIPPED))
            return
        self._tasks[node.node_id] = asyncio.create_task(self._run_node(node, is_judged=holds is not None))

    async def _run_node(self, node: SkeletonNode, *, is_judged: bool) -> None:
        done: StepDone | None = None
        try:
            if is_judged or await self._runner.judge(node):
                done = await self._runner.perform(node)
                done = replace(done, facts=self._state.add_facts(done.facts))
        except NodeFailed as failure:
            self._fail(node.node_id, failure.code, failure.message)
        except MovingOn:
            # It has no outcome: the next history begins it again, where it was.
            pass
        except (asyncio.CancelledError, NotBegun):
            if not self.is_moving:
                self._end(node.node_id, NodeOutcome(state=NodeState.CANCELLED))
        except FailureError as error:
            # What Temporal itself refuses would end the workflow, and nobody would close the run.
            self._fail(node.node_id, "step.failed", error.message)
        except Exception as error:  # noqa: BLE001  # The edge of a task: what nobody awaits would be lost.
            self._defect = error
        else:
            if done is None:
                self._end(node.node_id, NodeOutcome(state=NodeState.SKIPPED))
            else:
                self._succeed(node.node_id, done)
        finally:
            self._tasks.pop(node.node_id, None)
            self.wake()

    def _succeed(self, node_id: str, done: StepDone) -> None:
        self._end(node_id, NodeOutcome(state=NodeState.SUCCEEDED, digest=done.digest, facts=done.facts))

    def _end(self, node_id: str, outcome: NodeOutcome) -> None:
        self._state.outcomes[node_id] = outcome
        self._scheduler.finish(node_id, NodeState(outcome.state))
        if outcome.state == NodeState.SKIPPED:
            self._note_skipped()

    def _note_skipped(self) -> None:
        outcomes = self._state.outcomes
        for node_id, state in self._scheduler.states.items():
            if state is NodeState.SKIPPED and node_id not in outcomes:
                outcomes[node_id] = NodeOutcome(state=NodeState.SKIPPED)

    def _fail(self, node_id: str, code: str, message: str) -> None:
        node = self._state.nodes[node_id]
        if node.on_error != "continue":
            if self._state.failure is None:
                text = message[:MAX_ERROR_CHARACTERS]
                self._state.failure = Failure(code=code, message=text, node_id=node_id)
            if not node.is_final:
                self._state.is_stopped = True
                self._scheduler.stop()
                self._runner.stop()
                self._steps.stop()
        told = message[:MAX_TOLD_CHARACTERS]
        self._end(node_id, NodeOutcome(state=NodeState.FAILED, error_code=code, error_message=told))

    def _only_gates_wait(self) -> bool:
        doubts, nodes = self._steps.doubts, self._state.nodes
        steps = [node_id for node_id in self._tasks if nodes[node_id].type not in GATE_TYPES]
        waiting = all(doubts.hold_up(node_id) for node_id in steps)
        count = len(self._tasks) - len(steps) + doubts.open_gates
        return waiting and not self._gates.has_arrivals and self._gates.are_open(count)

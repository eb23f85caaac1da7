"""The generic workflow: one interpreter for every DAG, which holds references and facts and never documents."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.gate_payloads import (
        DECIDE,
        DELIVER,
        Decision,
        Delivery,
    )
    from activities.packing import pack_progress, unpack_opened, unpack_progress
    from activities.payloads import (
        CLOSE_RUN,
        OPEN_RUN,
        PAUSE,
        RESUME,
        CloseCall,
        NodeOutcome,
        OpenedRun,
        RunProgress,
        RunResult,
        RunStart,
    )
    from runs.plan import NodeState
    from workflows.child_runs import AGENT_DAG
    from workflows.dag_phase import DagPhase
    from workflows.doubts import Doubts
    from workflows.gates import Gates
    from workflows.node_run import NodeRunner
    from workflows.run_attributes import ending
    from workflows.run_details import details_of
    from workflows.run_failure import RunFailed, headline_of
    from workflows.run_state import Failure, RunState
    from workflows.step_calls import BOOKKEEPING, NodeFailed, code_of, message_of
    from workflows.step_performer import StepPerformer
    from workflows.throttle import Throttle

#: The signal that asks a run to go on with newer code.
UPGRADE = "upgrade"
#: With the states and outputs of as many nodes as there may be, still one payload.
MAX_CLOSING_CHARACTERS = 1_000

_Result = TypeVar("_Result")


@workflow.defn(name=AGENT_DAG)
class AgentDag:
    """Runs a compiled DAG: its nodes, then what takes them back if it did not end well, then those of `finally`."""

    @workflow.init
    def __init__(self, start: RunStart) -> None:
        self._start = start
        self._was_resumed = False
        #: Whether someone has asked the run to go on with the code that new runs get.
        self._wants_upgrade = False
        self._gates = Gates(self._gate_opened)
        self._throttle = Throttle(is_paused=start.is_paused)
        self._steps = StepPerformer(self._throttle, Doubts(self._gates))
        self._state = RunState(start.run, OpenedRun(), {})
        self._runner = NodeRunner(self._state, self._gates, self._steps, self._is_full)
        self._main = self._phase(is_final=False)
        self._final = self._phase(is_final=True)

    @workflow.run
    async def run(self, start: RunStart) -> RunResult:  # noqa: ARG002  # the same that __init__ has
        """Runs to the end, or continues as new; fails when a node fails, is cancelled when someone cancels it."""
        try:
            await self._open()
            await self._main.run(self._is_full, self._may_upgrade, self._tell)
            if self._is_moving_on():
                # What loses a race ends in this history; a cancellation may come in the meantime.
                await self._runner.settle_down()
        except asyncio.CancelledError:
            return await self._cancelled()
        except ActivityError as error:
            if is_cancelled_exception(error):
                return await self._cancelled()
            self._state.failure = Failure(code=code_of(error), message=message_of(error))
        if self._is_moving_on():
            self._continue_as_new()
        return await self._finished()

    @workflow.query(name="status")
    def status(self) -> dict[str, Any]:
        """Node id → state, and items done for maps."""
        states = {node_id: state.value for node_id, state in self._states().items()}
        return {"nodes": states, "items_done": self._runner.items_done, "is_paused": self._throttle.is_paused}

    @workflow.signal(name=PAUSE)
    def pause(self) -> None:
        """Lets nothing more begin; what is under way goes on."""
        self._throttle.pause()
        self._tell()

    @workflow.signal(name=RESUME)
    def resume(self) -> None:
        """Lets nodes begin again."""
        self._was_resumed = True
        self._throttle.resume()
        self._main.wake()
        if self._state.ending is not None and workflow.patched("resume-finally"):
            self._final.wake()

    @workflow.signal(name=UPGRADE)
    def upgrade(self) -> None:
        """Asks the run to go on with the build that new runs get, once it does nothing but wait."""
        self._wants_upgrade = True
        self._main.wake()

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

    async def _open(self) -> None:
        if self._start.progress is not None:
            progress = unpack_progress(self._start.progress)
            opened, outcomes, loops = progress.opened, dict(progress.outcomes), dict(progress.loops)
        else:
            found = await workflow.execute_activity(OPEN_RUN, self._start.run, result_type=OpenedRun, **BOOKKEEPING)
            opened = unpack_opened(found)
            outcomes, loops = dict(opened.reused), {}
            if opened.is_paused and not self._was_resumed:
                self._throttle.pause()
        self._throttle.bound(opened.concurrency)
        self._state = RunState(self._start.run, opened, outcomes)
        self._state.loops = loops
        self._runner = NodeRunner(self._state, self._gates, self._steps, self._is_full)
        self._main, self._final = self._phase(is_final=False), self._phase(is_final=True)

    def _phase(self, *, is_final: bool) -> DagPhase:
        nodes = [node for node in self._state.nodes.values() if node.is_final is is_final]
        return DagPhase(self._state, self._runner, self._gates, self._steps, nodes)

    def _states(self) -> dict[str, NodeState]:
        return {**self._main.states, **self._final.states}

    def _is_moving_on(self) -> bool:
        """Whether the run goes on in another history."""
        has_more = self._state.failure is None and not self._main.is_over
        return has_more and (self._main.is_moving or self._is_full())

    def _may_upgrade(self) -> bool:
        is_asked = self._wants_upgrade and self._state.failure is None
        return is_asked and workflow.info().is_target_worker_deployment_version_changed()

    def _gate_opened(self) -> None:
        # The last of what is under way in a full history: then nothing else would make the run move on.
        if self._is_full() and workflow.patched("gates-move-on"):
            self._main.wake()

    def _is_full(self) -> bool:
        info = workflow.info()
        if info.get_current_history_length() < self._start.history_limit_events:
            return info.is_continue_as_new_suggested()
        return True

    def _continue_as_new(self) -> None:
        progress = RunProgress(
            opened=replace(self._state.opened, reused={}), outcomes=self._state.outcomes, loops=self._state.loops
        )
        carried = RunStart(
            run=self._start.run,
            progress=pack_progress(progress),
            history_limit_events=self._start.history_limit_events,
            is_paused=self._throttle.is_paused,
        )
        # On the build that new runs get: a run that is pinned to an older one would be so for ever.
        behaviour = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        workflow.continue_as_new(carried, initial_versioning_behavior=behaviour)

    async def _finished(self) -> RunResult:
        await self._wind_up("succeeded" if self._state.failure is None else "failed")
        failure = self._state.failure
        result = await self._close("succeeded" if failure is None else "failed")
        if failure is not None:
            raise RunFailed(code=failure.code, message=failure.message, failed_node=failure.node_id)
        if result.state == "failed":
            message = "the run's outputs could not be made"
            raise RunFailed(code="run.outputs_failed", message=message, failed_node=None)
        return result

    async def _cancelled(self) -> RunResult:
        await self._main.cancel()
        await self._wind_up("cancelled")
        await self._close("cancelled")
        raise asyncio.CancelledError

    async def _wind_up(self, ending: str) -> None:
        """Everything that comes after the nodes themselves, whatever they came to."""
        self._main.close()
        await _shielded(self._runner.settle_down())
        if not self._state.nodes:
            return
        for node_id, node in self._state.nodes.items():
            if not node.is_final and node_id not in self._state.outcomes:
                self._state.outcomes[node_id] = NodeOutcome(state=NodeState.CANCELLED)
        self._state.ending = ending
        # A run that is ending is paused no more: what is left is to be tidy.
        self._throttle.resume()
        await _shielded(self._compensate_and_finish(ending))
        self._final.close()

    async def _compensate_and_finish(self, ending: str) -> None:
        if ending != "succeeded":
            await self._take_back()
        await self._final.run(lambda: False, on_turn=self._tell)
        await self._runner.settle_down()

    async def _take_back(self) -> None:
        """Takes back what succeeded, the latest first; one that cannot be is told, and does not let the others down."""
        failures: list[str] = []
        for node_id, outcome in reversed(list(self._state.outcomes.items())):
            node = self._state.nodes[node_id]
            if node.compensate is None or outcome.state != NodeState.SUCCEEDED or outcome.is_reused:
                continue
            try:
                await self._runner.take_back(node, node.compensate)
            except NodeFailed as failure:
                failures.append(f"node {node_id!r} was not taken back: {failure.message}")
        if failures:
            told = self._state.failure or Failure(code="compensation.failed", message="the run was cancelled")
            # The failures first: they are what someone must do something about.
            self._state.failure = replace(told, message=f"{'; '.join(failures)}; {told.message}")

    async def _close(self, state: str) -> RunResult:
        failure = self._state.failure
        call = CloseCall(
            run=self._start.run,
            state=state,
            node_states={node_id: node_state.value for node_id, node_state in self._states().items()},
            outputs=self._state.digests(self._state.opened.output_reads),
            error_code=failure.code if failure else None,
            error_message=failure.message[:MAX_CLOSING_CHARACTERS] if failure else None,
            failed_node=failure.node_id if failure else None,
        )
        # A cancellation that comes this late finds everything done; how it ended is recorded all the same.
        result: RunResult = await _shielded(
            workflow.execute_activity(CLOSE_RUN, call, result_type=RunResult, **BOOKKEEPING)
        )
        own = workflow.info().typed_search_attributes
        workflow.upsert_search_attributes(ending(own, outcome=result.state, failed_node=call.failed_node))
        self._tell()
        return result

    def _tell(self) -> None:
        """Where the run stands, for whoever looks into Temporal; no part of history."""
        failure = self._state.failure
        details = details_of(
            self._start.run.run_id,
            self._states(),
            self._runner.items_done,
            failure=headline_of(failure.code, failure.node_id) if failure else None,
            is_paused=self._throttle.is_paused,
        )
        workflow.set_current_details(details)


async def _shielded(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of what a cancellation does not stop."""
    task: asyncio.Task[_Result] = asyncio.create_task(work)
    while not task.done():
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()

"""A workflow below is told of what changed while it was being started; on a real Temporal server."""

from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentflow.ids import new_id
from workflows.throttle import Throttle


@workflow.defn(name="Listener")
class Listener:
    """Ends with the first that it is told."""

    def __init__(self) -> None:
        self._told: str | None = None

    @workflow.run
    async def run(self) -> str | None:
        await workflow.wait_condition(lambda: self._told is not None)
        return self._told

    @workflow.signal
    def pause(self) -> None:
        self._told = "pause"

    @workflow.signal
    def resume(self) -> None:
        self._told = "resume"


@workflow.defn(name="Starter")
class Starter:
    """Pauses, or goes on, before it hears that the workflow below has started."""

    @workflow.run
    async def run(self, was_paused: bool) -> str | None:
        throttle = Throttle(is_paused=was_paused)
        handle = await workflow.start_child_workflow("Listener", result_type=str)
        throttle.resume() if was_paused else throttle.pause()
        with throttle.telling(handle, is_paused=was_paused):
            heard: str | None = await handle
        return heard


@pytest.mark.parametrize(("was_paused", "told"), [(False, "pause"), (True, "resume")])
async def test_what_changed_while_a_workflow_below_was_started_is_told(
    temporal: Client, was_paused: bool, told: str
) -> None:
    queue = new_id("queue")
    async with Worker(
        temporal, task_queue=queue, workflows=[Listener, Starter], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        heard = await temporal.execute_workflow(
            Starter.run, was_paused, id=queue, task_queue=queue, execution_timeout=timedelta(seconds=30)
        )

    assert told == heard

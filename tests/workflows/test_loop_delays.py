"""Loops that wait between two times round: durably, as long as they are told to, and no longer than they are wanted."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.models import RunState
from runs.plan import NodeState
from tests.deadline import deadline
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.dag_run import AgentDag
from workflows.service import RunRequest

_STARTED = EventType.EVENT_TYPE_TIMER_STARTED


def loop(node_id: str, delay: Any, **config: Any) -> Node:
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"n": "iteration"}}}
    return {"id": node_id, "type": "loop", "config": {"body": body, "delay": delay, "max_iterations": 3, **config}}


async def history_of(platform: Platform, run_id: str) -> list[HistoryEvent]:
    return list((await platform.temporal.get_workflow_handle(run_id).fetch_history()).events)


def delays_of(events: list[HistoryEvent]) -> list[float]:
    """Seconds of each timer that was set."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
        for event in events
        if event.event_type == _STARTED
    ]


async def started(platform: Platform, org_id: str, document: dict[str, Any], **inputs: Any) -> str:
    """A run whose loop is between two times round."""
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, str(document["name"]), inputs)

    async def is_waiting() -> bool:
        return bool(delays_of(await history_of(platform, run_id)))

    await until(is_waiting, f"the loop of {run_id} to wait")
    return run_id


@pytest.mark.parametrize(
    ("delay", "until_holds", "seconds"),
    [("100ms", None, [0.1, 0.1]), ("100ms", "last.n == 1", [0.1]), ("100ms", "last.n == 2", [0.1, 0.1]), (0, None, [])],
)
async def test_a_loop_waits_between_two_times_round_and_not_after_the_last(
    platform: Platform, org_id: str, delay: Any, until_holds: str | None, seconds: list[float]
) -> None:
    config = {} if until_holds is None else {"until": until_holds}

    view = succeeded(await platform.run(org_id, dag("apart", loop("poll", delay, **config))))

    assert seconds == delays_of(await history_of(platform, view.run.run_id))


async def test_a_cancellation_does_not_wait_for_the_delay(platform: Platform, org_id: str) -> None:
    run_id = await started(platform, org_id, dag("endless", loop("poll", "30d")))

    await platform.service.cancel(org_id=org_id, run_id=run_id)

    view = await platform.ended(org_id, run_id)
    assert (RunState.CANCELLED, NodeState.CANCELLED) == (view.run.state, view.nodes[0].state)


async def test_the_failure_of_another_node_does_not_wait_for_the_delay(platform: Platform, org_id: str) -> None:
    pause = {"id": "pause", "type": "wait", "config": {"for": "1s"}}
    fails = projection("fails", {"v": "1 / inputs.zero"}, depends=["pause"])
    run_id = await started(platform, org_id, dag("beside", loop("poll", "30d"), pause, fails), zero=0)

    view = await platform.ended(org_id, run_id)

    assert (RunState.FAILED, "fails") == (view.run.state, view.run.failed_node)


async def test_a_paused_loop_begins_nothing_when_its_delay_is_over(platform: Platform, org_id: str) -> None:
    run_id = await started(platform, org_id, dag("held", loop("poll", "1s", max_iterations=2)))
    await platform.service.pause(org_id=org_id, run_id=run_id)

    async def has_fired() -> bool:
        fired = EventType.EVENT_TYPE_TIMER_FIRED
        return any(event.event_type == fired for event in await history_of(platform, run_id))

    await until(has_fired, "the delay to be over")
    parts = [step.key.part for step in await platform.steps(org_id, run_id)]
    await platform.service.resume(org_id=org_id, run_id=run_id)

    assert ["iteration:0"] == parts
    succeeded(await platform.ended(org_id, run_id))


async def test_a_loop_that_waits_when_its_history_is_full_waits_on_in_the_next_one(
    platform: Platform, org_id: str
) -> None:
    """With other nodes to fill the history, which would be held up by the delay otherwise."""
    names = ["start", *(f"n{at}" for at in range(8))]
    chain = [projection(name, {}, depends=names[at - 1 : at] if at else []) for at, name in enumerate(names)]
    document = dag("patient", loop("poll", "4s", max_iterations=2), *chain)
    await platform.register(org_id, document)
    request = RunRequest(
        workflow_name="patient", workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)

    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=30), id=run.run_id, task_queue=RUNS_QUEUE
    )
    async with deadline("the workflow to end"):
        await handle.result()

    succeeded(await platform.ended(org_id, run.run_id))
    first = platform.temporal.get_workflow_handle(run.run_id, run_id=handle.first_execution_run_id)
    [whole] = delays_of(list((await first.fetch_history()).events))
    rest = delays_of(await history_of(platform, run.run_id))
    assert 4 == whole
    assert all(seconds < whole for seconds in rest)
    steps = await platform.steps(org_id, run.run_id)
    assert ["iteration:0", "iteration:1"] == [step.key.part for step in steps if step.key.part is not None]

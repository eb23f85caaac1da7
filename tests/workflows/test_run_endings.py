"""How runs come to their ends: failures, cancellations and pauses in every phase, on a real Temporal server."""

from typing import Any

from temporalio.client import WorkflowHandle

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.models import Run, RunState, StepState
from runs.plan import NodeState
from runs.run_view import NodeView
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_gates import gates
from tests.workflows.world import ACT, World
from workflows.dag_run import AgentDag
from workflows.service import RunRequest

Handle = WorkflowHandle[Any, Any]


def act(node_id: str, who: str, **more: Any) -> Node:
    """A tool step that is tried once."""
    config = {"tool_name": ACT, "tool_args": {"who": who, "class": "pure"}}
    return {"id": node_id, "type": "tool", "config": config, "retry": {"attempts": 1}, **more}


def branch(node: Node) -> Node:
    """The same as a branch of a race."""
    return {key: value for key, value in node.items() if key != "id"}


#: A branch that wins.
QUICK: Node = {
    "type": "function",
    "config": {"function_name": "json_projection", "inputs": {}},
    "after": "1s",
}


def wait(node_id: str, **more: Any) -> Node:
    return {"id": node_id, "type": "wait", "config": {"for": "1h"}, **more}


async def node_of(platform: Platform, org_id: str, run_id: str, node_id: str) -> NodeView:
    view = await platform.service.get_run(org_id=org_id, run_id=run_id)
    return next(node for node in view.nodes if node.node_id == node_id)


async def until_running(platform: Platform, org_id: str, run_id: str, node_id: str) -> None:
    async def is_running() -> bool:
        return (await node_of(platform, org_id, run_id, node_id)).state is NodeState.RUNNING

    await until(is_running)


async def runs_right_below(platform: Platform, org_id: str, run_id: str) -> list[Run]:
    return await platform.service.list_runs(
        org_id=org_id, before=None, limit=9, workflow_name=None, state=None, parent_run_id=run_id
    )


async def start_with_short_history(
    platform: Platform, org_id: str, document: dict[str, Any], *, events: int
) -> tuple[str, Handle]:
    """A run that continues as new from so many events on."""
    await platform.register(org_id, document)
    request = RunRequest(
        workflow_name=document["name"], workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=events), id=run.run_id, task_queue=RUNS_QUEUE
    )
    return run.run_id, handle


async def test_a_run_whose_run_below_someone_has_cancelled_fails(platform: Platform, org_id: str) -> None:
    inner = {"nodes": [wait("rest")]}
    document = dag("abandoned", {"id": "below", "type": "workflow", "config": inner}, projection("other", {}))
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "abandoned")

    async def child() -> str | None:
        found = await runs_right_below(platform, org_id, run_id)
        return found[0].run_id if found else None

    child_id = str(await until(child))
    await until_running(platform, org_id, child_id, "rest")
    await platform.service.cancel(org_id=org_id, run_id=child_id)

    view = await platform.ended(org_id, run_id)
    assert (RunState.FAILED, "workflow.cancelled", "below") == (
        view.run.state, view.run.error_code, view.run.failed_node
    )  # fmt: skip


async def test_what_is_final_goes_on_after_a_pause(platform: Platform, org_id: str, world: World) -> None:
    who = org_id
    world.script[who] = ["hangs"]
    document = dag(
        "halted", projection("one", {}), final=[act("first", who), projection("second", {}, depends=["first"])]
    )
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "halted")
    await world.reached(who)
    handle = platform.temporal.get_workflow_handle(run_id)

    await platform.service.pause(org_id=org_id, run_id=run_id)
    world.release(who)

    async def first_has_ended() -> bool:
        return bool((await handle.query("status"))["nodes"]["first"] == "succeeded")

    await until(first_has_ended)
    await platform.service.resume(org_id=org_id, run_id=run_id)

    view = succeeded(await platform.ended(org_id, run_id))
    assert [NodeState.SUCCEEDED] * 3 == [node.state for node in view.nodes]


async def test_a_run_that_is_cancelled_while_losers_of_a_race_end_is_closed(
    platform: Platform, org_id: str, world: World
) -> None:
    who = org_id
    world.script[who] = ["deaf"]
    document = dag(
        "late",
        {"id": "first", "type": "race", "config": {"branches": {"slow": branch(act("slow", who)), "quick": QUICK}}},
        final=[projection("tell", {"how": "run.status"})],
    )
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "late")
    await world.reached(who)
    handle = platform.temporal.get_workflow_handle(run_id)

    async def race_is_over() -> bool:
        return bool((await handle.query("status"))["nodes"]["first"] == "succeeded")

    await until(race_is_over)
    await platform.service.cancel(org_id=org_id, run_id=run_id)
    world.release(who)

    view = await platform.ended(org_id, run_id)
    assert NodeState.SUCCEEDED == view.nodes[1].state
    assert view.run.error_code is None


async def test_a_run_that_is_cancelled_while_it_moves_to_a_new_history_is_cancelled(
    platform: Platform, org_id: str, world: World
) -> None:
    who = org_id
    world.script[who] = ["deaf"]
    document = dag(
        "moving",
        {"id": "first", "type": "race", "config": {"branches": {"slow": branch(act("slow", who)), "quick": QUICK}}},
        projection("after", {}, depends=["first"]),
        final=[projection("tell", {"how": "run.status"})],
    )
    run_id, handle = await start_with_short_history(platform, org_id, document, events=5)
    await world.reached(who)

    async def race_is_over() -> bool:
        return bool((await handle.query("status"))["nodes"]["first"] == "succeeded")

    await until(race_is_over)
    await platform.service.cancel(org_id=org_id, run_id=run_id)
    world.release(who)

    view = await platform.ended(org_id, run_id)
    assert (RunState.CANCELLED, NodeState.CANCELLED, NodeState.SUCCEEDED) == (
        view.run.state, view.nodes[1].state, view.nodes[2].state
    )  # fmt: skip


async def test_a_history_that_is_full_when_its_last_gate_opens_moves_on(platform: Platform, org_id: str) -> None:
    # Opening the run takes some nine events, and opening the gate some six: full by then, and not again thereafter.
    document = dag("waiting", {"id": "paid", "type": "wait", "config": {"event": "paid"}})
    run_id, handle = await start_with_short_history(platform, org_id, document, events=12)

    async def has_moved_on() -> bool:
        latest = await platform.temporal.get_workflow_handle(run_id).describe()
        return latest.run_id != handle.first_execution_run_id

    await until(has_moved_on)
    await gates(platform).deliver(org_id=org_id, run_id=run_id, event_key="paid", payload={}, delivered_by="ada")

    succeeded(await platform.ended(org_id, run_id))


async def test_a_loop_of_finally_comes_to_its_end_in_a_full_history(platform: Platform, org_id: str) -> None:
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"n": "iteration"}}}
    final = {"id": "again", "type": "loop", "config": {"body": body, "max_iterations": 3}}
    document = dag("full", projection("one", {}), final=[final], outputs={"n": "again.output.n"})

    run_id, _ = await start_with_short_history(platform, org_id, document, events=5)

    view = succeeded(await platform.ended(org_id, run_id))
    assert (NodeState.SUCCEEDED, {"n": 2}) == (view.nodes[1].state, view.outputs)


async def test_a_loop_of_finally_ends_when_the_run_tells_it_to(platform: Platform, org_id: str) -> None:
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"n": "iteration"}}}
    config = {"body": body, "max_iterations": 3, "until": "run.status == 'succeeded'"}
    document = dag(
        "told", projection("one", {}), final=[{"id": "again", "type": "loop", "config": config}],
        outputs={"n": "again.output.n"},
    )  # fmt: skip

    view = succeeded(await platform.run(org_id, document))

    assert {"n": 0} == view.outputs


async def test_what_waits_for_its_turn_does_not_begin_once_a_node_has_failed(
    platform: Platform, org_id: str, world: World
) -> None:
    world.script[f"{org_id}-0"] = ["refused"]
    nodes = [act(f"n{number}", f"{org_id}-{number}") for number in range(3)]
    document = dag("narrow", *nodes, concurrency=1)

    view = await platform.run(org_id, document)

    assert (RunState.FAILED, "n0") == (view.run.state, view.run.failed_node)
    assert [] == [who for who in (f"{org_id}-1", f"{org_id}-2") if world.deeds[who]]
    assert [NodeState.FAILED, NodeState.CANCELLED, NodeState.CANCELLED] == [node.state for node in view.nodes]


async def test_items_under_way_are_kept_when_those_that_wait_for_their_turn_do_not_begin(
    platform: Platform, org_id: str, world: World
) -> None:
    everyone, bad = [f"{org_id}-{number}" for number in range(6)], f"{org_id}-bad"
    world.script[everyone[0]], world.script[bad] = ["hangs"], ["hangs"]
    body = {"type": "tool", "config": {"tool_name": ACT, "tool_args": {"who": "{{ item }}", "class": "pure"}}}
    each = {"id": "each", "type": "map", "config": {"over": "inputs.all", "body": body, "window": 6}}
    document = dag("narrow_map", act("bad", bad, timeout={"run": "2s"}), each, concurrency=2)
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "narrow_map", {"all": everyone})
    await world.reached(everyone[0])

    async def has_failed() -> bool:
        status = await platform.temporal.get_workflow_handle(run_id).query("status")
        return bool(status["nodes"]["bad"] == "failed")

    await until(has_failed)
    world.release(everyone[0])

    view = await platform.ended(org_id, run_id)
    world.release(bad)
    assert ("bad", NodeState.CANCELLED, 1) == (view.run.failed_node, view.nodes[1].state, view.nodes[1].items_done)
    assert [everyone[0]] == [who for who in everyone if world.deeds[who]]


async def test_a_loop_that_stopped_between_two_histories_is_cancelled_with_its_run(
    platform: Platform, org_id: str, world: World
) -> None:
    who = org_id
    world.script[who] = ["hangs", "refused"]
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": {"n": "iteration"}}}
    document = dag(
        "between", act("other", who), {"id": "again", "type": "loop", "config": {"body": body, "max_iterations": 9}}
    )
    run_id, _ = await start_with_short_history(platform, org_id, document, events=5)
    await world.reached(who)

    async def has_gone_round() -> bool:
        steps = await platform.steps(org_id, run_id)
        return any(step.key.node_id == "again" and step.state is StepState.COMMITTED for step in steps)

    await until(has_gone_round)
    await platform.service.cancel(org_id=org_id, run_id=run_id)

    view = await platform.ended(org_id, run_id)
    assert [NodeState.CANCELLED] * 2 == [node.state for node in view.nodes]


async def test_branches_that_set_out_later_do_so_one_after_another(
    platform: Platform, org_id: str, world: World
) -> None:
    world.script[f"{org_id}-a"] = ["refused"]
    after = {"a": {}, "b": {"after": "10m"}, "c": {"after": "20m"}}
    branches = {name: branch(act(name, f"{org_id}-{name}", **more)) for name, more in after.items()}
    document = dag("one_by_one", {"id": "first", "type": "race", "config": {"branches": branches}})

    succeeded(await platform.run(org_id, document))

    assert (1, 0) == (len(world.deeds[f"{org_id}-b"]), len(world.deeds[f"{org_id}-c"]))

"""What is taken back when a run does not end well, and what runs at the end of every run."""

from typing import Any

from runs.models import RunState, StepState
from runs.plan import NodeState
from tests.workflows.documents import Node, code, dag, function_map, projection
from tests.workflows.platform import Platform, succeeded, until


async def test_what_succeeded_is_taken_back_in_reverse_when_the_run_fails(platform: Platform, org_id: str) -> None:
    def booked(name: str, **more: Any) -> Node:
        back = {
            "type": "function",
            "config": {"function_name": "json_projection", "inputs": {"back": f"{name}.output.{name}"}},
        }
        return projection(name, {name: f"'{name}'"}, compensate=back, **more)

    document = dag(
        "trip",
        booked("flight"),
        booked("hotel", depends=["flight"]),
        {"id": "car", **code("function main() { throw new Error('no') }", {}), "depends": ["hotel"]},
        final=[projection("tell", {"how": "run.status", "what": "run.failed_node", "car": "car.status"})],
    )

    view = await platform.run(org_id, document)

    assert (RunState.FAILED, "car") == (view.run.state, view.run.failed_node)
    flight, hotel = view.nodes[0], view.nodes[1]
    assert flight.finished_at is not None
    assert hotel.started_at is not None
    # Being taken back is no part of the time that it took.
    assert flight.finished_at <= hotel.started_at
    steps = await platform.steps(org_id, view.run.run_id)
    order = [(step.key.node_id, step.key.part) for step in steps if step.state is StepState.COMMITTED]
    assert [
        ("flight", None), ("hotel", None), ("hotel", "compensation"), ("flight", "compensation"), ("tell", None)
    ] == order  # fmt: skip
    told = next(step for step in steps if step.key.node_id == "tell")
    assert told.output is not None
    value = await platform.resources.json_value(org_id=org_id, digest=told.output.digest)
    assert {"how": "failed", "what": "car", "car": "failed"} == value


async def test_nothing_is_taken_back_when_the_run_succeeds_and_what_is_final_runs(
    platform: Platform, org_id: str
) -> None:
    back = {"type": "function", "config": {"function_name": "json_projection", "inputs": {}}}
    document = dag(
        "fine",
        projection("one", {"v": "1"}, compensate=back),
        outputs={"v": "one.output.v", "told": "tell.output.how"},
        final=[projection("tell", {"how": "run.status"})],
    )

    view = succeeded(await platform.run(org_id, document))

    assert {"v": 1, "told": "succeeded"} == view.outputs
    assert [("one", None), ("tell", None)] == [
        (step.key.node_id, step.key.part) for step in await platform.steps(org_id, view.run.run_id)
    ]


async def test_a_cancelled_run_takes_back_what_it_did_and_runs_what_is_final(platform: Platform, org_id: str) -> None:
    back = {"type": "function", "config": {"function_name": "json_projection", "inputs": {}}}
    document = dag(
        "stopped",
        projection("one", {"v": "1"}, compensate=back),
        {"id": "rest", "type": "wait", "config": {"for": "1h"}, "depends": ["one"]},
        final=[projection("tell", {"how": "run.status"}), function_map("each", "inputs.names", {"name": "item"})],
    )
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "stopped", {"names": ["a", "b"]})

    async def rests() -> bool:
        view = await platform.service.get_run(org_id=org_id, run_id=run_id)
        return view.nodes[1].state is NodeState.RUNNING

    await until(rests)
    await platform.service.cancel(org_id=org_id, run_id=run_id)

    assert RunState.CANCELLED == (await platform.ended(org_id, run_id)).run.state
    steps = await platform.steps(org_id, run_id)
    done = [(step.key.node_id, step.key.part) for step in steps if step.state is StepState.COMMITTED]
    assert [("one", None), ("one", "compensation")] == done[:2]
    assert [("each", None), ("each", None), ("tell", None)] == sorted(done[2:], key=str)


async def test_a_compensation_that_fails_is_told_and_the_others_are_done(platform: Platform, org_id: str) -> None:
    back = {"type": "function", "config": {"function_name": "json_projection", "inputs": {}}}
    broken = code("function main() { throw new Error('no') }", {})
    document = dag(
        "stuck",
        projection("first", {"v": "1"}, compensate=back),
        projection("second", {"v": "1"}, depends=["first"], compensate=broken),
        {"id": "bad", **broken, "depends": ["second"]},
    )

    view = await platform.run(org_id, document)

    assert "node 'second' was not taken back" in str(view.run.error_message)
    parts = {(step.key.node_id, step.key.part): step.state for step in await platform.steps(org_id, view.run.run_id)}
    assert StepState.COMMITTED == parts["first", "compensation"]
    assert StepState.FAILED == parts["second", "compensation"]
    assert ["succeeded", "failed", None] == [node.compensation for node in view.nodes]

"""Steps in doubt on a real Temporal server: a person says once what became of them, and nothing is done silently."""

from datetime import timedelta
from typing import Any

import pytest

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from activities.tools.tool import Probed
from runs.errors import DecisionStale, DecisionUnfit, GateClosed
from runs.gate_models import DoubtResolution, Gate, GateKind, GateState
from runs.models import RunState, StepState
from runs.plan import NodeState
from scl.errors import SchemaViolation
from tests.workflows.documents import dag, projection
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_effects import act, acting
from tests.workflows.test_gates import decide, gates, opened
from tests.workflows.test_sweeper import sweeper
from tests.workflows.world import ACT, World
from workflows.dag_run import AgentDag
from workflows.document_compilation import DocumentCompiler
from workflows.rerun_service import RerunRequest, RerunService
from workflows.service import RunRequest

PERFORMED, NOT_PERFORMED, FAIL = DoubtResolution.PERFORMED, DoubtResolution.NOT_PERFORMED, DoubtResolution.FAIL


async def resolve(platform: Platform, gate: Gate, resolution: DoubtResolution, **changes: Any) -> Gate:
    word: dict[str, Any] = {
        "org_id": gate.org_id,
        "gate_id": gate.gate_id,
        "resolution": resolution,
        "output": None,
        "subject_digest": str(gate.subject_digest),
        "decision_id": "decision_1",
        "decided_by": "ada",
        "comment": None,
        **changes,
    }
    return await gates(platform).resolve(**word)


async def in_doubt(
    platform: Platform, world: World, org_id: str, how: str = "uncertain", **more: Any
) -> tuple[str, Gate]:
    """A run whose one step is in doubt, and the gate that it waits at."""
    world.script[org_id] = [how]
    await platform.register(org_id, acting(org_id, "at_most_once", **more))
    run_id = await platform.submit(org_id, "acting")
    return run_id, await opened(platform, org_id, run_id)


@pytest.mark.parametrize(("how", "attempts"), [("uncertain", 3), ("broken", 3), ("deaf", 3), ("hangs", 1)])
async def test_what_must_not_happen_twice_waits_for_a_person_and_gives_what_that_one_says(
    platform: Platform, world: World, org_id: str, how: str, attempts: int
) -> None:
    run_id, gate = await in_doubt(platform, world, org_id, how, retry={"attempts": attempts, "initial": 0.05})
    live = await platform.service.get_run(org_id=org_id, run_id=run_id)
    shown = await gates(platform).get_approval(org_id=org_id, gate_id=gate.gate_id)

    await resolve(platform, gate, PERFORMED, output={"deeds": 9}, comment="seen in the books")
    view = succeeded(await platform.ended(org_id, run_id))
    world.release(org_id)

    assert (GateKind.IN_DOUBT, "act", None) == (gate.kind, gate.node_id, gate.item_index)
    assert (NodeState.RUNNING, 1, 1) == (live.nodes[0].state, live.nodes[0].in_doubt, live.in_doubt)
    assert (ACT, {"who": org_id, "class": "at_most_once"}) == (shown.show["tool"], shown.show["arguments"])
    assert ({"deeds": 9}, 1, 0) == (view.outputs, len(world.deeds[org_id]), view.in_doubt)
    closed = (await gates(platform).get_approval(org_id=org_id, gate_id=gate.gate_id)).gate
    assert (GateState.APPROVED, "ada", "seen in the books") == (closed.state, closed.decided_by, closed.comment)
    (step,) = await platform.steps(org_id, run_id)
    assert (StepState.COMMITTED, 2, 0) == (step.state, step.fence, step.possible_duplicates)


async def test_a_step_that_was_not_performed_is_performed_under_a_higher_fence(
    platform: Platform, world: World, org_id: str
) -> None:
    run_id, gate = await in_doubt(platform, world, org_id)

    await resolve(platform, gate, NOT_PERFORMED)
    view = succeeded(await platform.ended(org_id, run_id))

    (step,) = await platform.steps(org_id, run_id)
    assert ({"deeds": 2}, StepState.COMMITTED, 3) == (view.outputs, step.state, step.fence)
    assert 1 == len(set(world.deeds[org_id]))


async def test_a_step_that_comes_to_be_in_doubt_again_waits_at_another_gate(
    platform: Platform, world: World, org_id: str
) -> None:
    run_id, first = await in_doubt(platform, world, org_id)
    world.script[org_id] = ["uncertain"]
    await resolve(platform, first, NOT_PERFORMED)

    async def another() -> Gate | None:
        gate = await opened(platform, org_id, run_id)
        return gate if gate.gate_id != first.gate_id else None

    second = await until(another)
    with pytest.raises(GateClosed):
        await resolve(platform, first, PERFORMED, decision_id="decision_2")
    await resolve(platform, second, PERFORMED)

    view = await platform.ended(org_id, run_id)
    # Without an output the step gives null, of which the outputs cannot read a field.
    assert ("expression.failed", 2) == (view.run.error_code, len(world.deeds[org_id]))
    (step,) = await platform.steps(org_id, run_id)
    assert StepState.COMMITTED == step.state


async def test_a_step_that_is_given_up_fails_and_stays_in_doubt_and_a_re_run_asks_again(
    platform: Platform, world: World, org_id: str
) -> None:
    run_id, gate = await in_doubt(platform, world, org_id)
    await resolve(platform, gate, FAIL)
    view = await platform.ended(org_id, run_id)

    resources = platform.resources
    compiler = DocumentCompiler(resources.clock, platform.signatures)
    reruns = RerunService(resources.database, resources.blobs, platform.temporal, resources.clock, compiler)
    wish = RerunRequest(run_id=run_id, failed_only=True, changes={})
    again = (await reruns.rerun(org_id=org_id, request=wish)).run.run_id
    asked = await opened(platform, org_id, again)
    deeds_before = len(world.deeds[org_id])
    assert "the run that this one repeats" in str(asked.message)
    await resolve(platform, asked, NOT_PERFORMED)
    repeated = succeeded(await platform.ended(org_id, again))

    assert (RunState.FAILED, "step.in_doubt", "act") == (view.run.state, view.run.error_code, view.run.failed_node)
    assert "ada gave it up" in str(view.run.error_message)
    (step,) = await platform.steps(org_id, run_id)
    assert (StepState.IN_DOUBT, 1) == (step.state, view.in_doubt)
    assert (1, {"deeds": 2}) == (deeds_before, repeated.outputs)


async def test_a_word_that_is_stale_repeated_or_of_another_kind_is_refused(
    platform: Platform, world: World, org_id: str
) -> None:
    run_id, gate = await in_doubt(platform, world, org_id)

    with pytest.raises(DecisionStale):
        await resolve(platform, gate, PERFORMED, subject_digest="0" * 64)
    with pytest.raises(DecisionUnfit, match="resolve it"):
        await decide(platform, gate)
    with pytest.raises(DecisionUnfit, match="was performed"):
        await resolve(platform, gate, NOT_PERFORMED, output={"deeds": 1})
    with pytest.raises(SchemaViolation):
        await resolve(platform, gate, PERFORMED, output={"deeds": "many"})
    await resolve(platform, gate, PERFORMED, output={"deeds": 1})
    succeeded(await platform.ended(org_id, run_id))

    assert GateState.APPROVED == (await resolve(platform, gate, PERFORMED)).state
    with pytest.raises(GateClosed):
        await resolve(platform, gate, NOT_PERFORMED, decision_id="decision_2")
    assert 1 == len(world.deeds[org_id])


async def test_an_approval_is_not_resolved(platform: Platform, org_id: str) -> None:
    ask = {"id": "ask", "type": "approval", "config": {"message": "Go on?"}}
    await platform.register(org_id, dag("asking", ask))
    run_id = await platform.submit(org_id, "asking")
    gate = await opened(platform, org_id, run_id)

    with pytest.raises(DecisionUnfit, match="approve or reject"):
        await resolve(platform, gate, PERFORMED)

    await decide(platform, gate)
    succeeded(await platform.ended(org_id, run_id))


async def test_a_result_that_comes_after_all_is_kept_whatever_is_said_of_it_then(
    platform: Platform, world: World, org_id: str
) -> None:
    run_id, gate = await in_doubt(platform, world, org_id, "deaf", retry={"attempts": 1})
    world.release(org_id)

    async def recorded() -> bool:
        (step,) = await platform.steps(org_id, run_id)
        return step.state is StepState.COMMITTED

    await until(recorded)
    await resolve(platform, gate, NOT_PERFORMED)

    view = succeeded(await platform.ended(org_id, run_id))
    assert ({"deeds": 1}, 1) == (view.outputs, len(world.deeds[org_id]))


async def test_a_run_that_is_cancelled_while_it_waits_leaves_the_step_in_doubt(
    platform: Platform, world: World, org_id: str
) -> None:
    run_id, gate = await in_doubt(platform, world, org_id)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    view = await platform.ended(org_id, run_id)

    (step,) = await platform.steps(org_id, run_id)
    assert (RunState.CANCELLED, StepState.IN_DOUBT, 1) == (view.run.state, step.state, view.in_doubt)
    with pytest.raises(GateClosed):
        await resolve(platform, gate, PERFORMED)


async def test_a_run_that_was_ended_from_outside_leaves_its_open_step_in_doubt(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["deaf"]
    await platform.register(org_id, acting(org_id, "at_most_once", timeout={"run": "1m"}))
    run_id = await platform.submit(org_id, "acting")
    await world.reached(org_id)
    await platform.temporal.get_workflow_handle(run_id).terminate()

    await sweeper(platform, ahead=timedelta(minutes=2)).sweep()
    view = await platform.ended(org_id, run_id)
    world.release(org_id)

    assert ("run.lost", 1) == (view.run.error_code, view.in_doubt)


async def test_a_tool_that_cannot_find_out_leaves_it_to_a_person(platform: Platform, world: World, org_id: str) -> None:
    world.script[org_id], world.findings[org_id] = ["uncertain"], [Probed(state="unknown")]
    await platform.register(org_id, acting(org_id, "probe"))
    run_id = await platform.submit(org_id, "acting")

    await resolve(platform, await opened(platform, org_id, run_id), PERFORMED, output={"deeds": 4})

    assert {"deeds": 4} == succeeded(await platform.ended(org_id, run_id)).outputs
    assert b'agentflow_steps_in_doubt_total{effect_class="probe"}' in platform.resources.metrics.render()[0]


async def test_a_probed_step_without_attempts_left_waits_for_a_person(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["uncertain"]
    await platform.register(org_id, acting(org_id, "probe", retry={"attempts": 1}))
    run_id = await platform.submit(org_id, "acting")

    await resolve(platform, await opened(platform, org_id, run_id), NOT_PERFORMED)

    assert {"deeds": 2} == succeeded(await platform.ended(org_id, run_id)).outputs


def each_act(over: str, **config: Any) -> dict[str, Any]:
    body = {"type": "tool", "config": {"tool_name": ACT, "tool_args": {"who": "{{ item }}", "class": "at_most_once"}}}
    return {"id": "each", "type": "map", "config": {"over": over, "body": body, **config}, "retry": {"attempts": 1}}


async def test_one_item_of_a_map_waits_for_a_person_while_the_others_are_done(
    platform: Platform, world: World, org_id: str
) -> None:
    names = [f"{org_id}_{number}" for number in range(4)]
    world.script[names[2]] = ["uncertain"]
    await platform.register(org_id, dag("each", each_act("inputs.names"), outputs={"all": "each.output"}))
    run_id = await platform.submit(org_id, "each", {"names": names})
    gate = await opened(platform, org_id, run_id)

    async def others_are_done() -> bool:
        return 3 == sum(step.state is StepState.COMMITTED for step in await platform.steps(org_id, run_id))

    await until(others_are_done)
    await resolve(platform, gate, PERFORMED, output={"deeds": 5})

    view = succeeded(await platform.ended(org_id, run_id))
    assert ("each", 2) == (gate.node_id, gate.item_index)
    assert {"all": [{"deeds": 1}, {"deeds": 1}, {"deeds": 5}, {"deeds": 1}]} == view.outputs


async def test_an_item_in_a_shard_waits_for_a_person_too(platform: Platform, world: World, org_id: str) -> None:
    names = [f"{org_id}_{number}" for number in range(201)]
    world.script[names[7]] = ["uncertain"]
    node = each_act("inputs.names", window=50)
    await platform.register(org_id, dag("sharded", node, outputs={"seventh": "each.output[7].deeds"}))
    run_id = await platform.submit(org_id, "sharded", {"names": names})
    gate = await opened(platform, org_id, run_id)
    live = await platform.service.get_run(org_id=org_id, run_id=run_id)

    await resolve(platform, gate, PERFORMED, output={"deeds": 5})

    view = succeeded(await platform.ended(org_id, run_id))
    assert (7, f"{run_id}/each.0/0-200", 1) == (gate.item_index, gate.workflow_id, live.in_doubt)
    assert ({"seventh": 5}, 201, 1) == (view.outputs, view.nodes[0].items_total, len(world.deeds[names[7]]))


async def test_a_step_in_doubt_outlives_the_history_that_it_came_up_in(
    platform: Platform, world: World, org_id: str
) -> None:
    names = [f"{org_id}_{number}" for number in range(3)]
    world.script[org_id], world.script[names[1]] = ["uncertain"], ["uncertain"]
    chain = [projection("n0", {"value": "0"}, depends=["w0"])]
    chain += [projection(f"n{n}", {"value": f"n{n - 1}.output.value + 1"}, depends=[f"n{n - 1}"]) for n in range(1, 12)]
    # The chain begins when both are surely at their gates, and its end wakes the run up.
    pause = {"id": "w0", "type": "wait", "config": {"event": "go"}}
    document = dag("moved", act(org_id, "at_most_once"), each_act("inputs.names"), pause, *chain)
    await platform.register(org_id, document)
    request = RunRequest(
        workflow_name="moved",
        workflow_version=None,
        inputs={"names": names},
        budget_micro_usd=None,
        idempotency_key=None,
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=90), id=run.run_id, task_queue=RUNS_QUEUE
    )

    async def both() -> list[Gate] | None:
        found = await gates(platform).list_approvals(org_id=org_id, is_open=True, run_id=run.run_id, after="", limit=10)
        return found if len(found) == 2 else None

    before = {gate.gate_id for gate in await until(both)}
    await gates(platform).deliver(org_id=org_id, run_id=run.run_id, event_key="go", payload={}, delivered_by="ada")

    async def moved() -> bool:
        latest = await platform.temporal.get_workflow_handle(run.run_id).describe()
        return latest.run_id != handle.first_execution_run_id

    await until(moved)
    for gate in await until(both):
        assert gate.gate_id in before
        await resolve(platform, gate, PERFORMED, output={"deeds": 1})

    succeeded(await platform.ended(org_id, run.run_id))
    assert (1, 1, 1) == (len(world.deeds[org_id]), len(world.deeds[names[0]]), len(world.deeds[names[1]]))


async def test_a_run_below_is_not_stopped_because_another_branch_is_in_doubt(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["uncertain"]
    unsure = {key: value for key, value in act(org_id, "at_most_once").items() if key != "id"}
    inner = {"nodes": [{"id": "rest", "type": "wait", "config": {"for": "3s"}}], "outputs": {"by": "'the other'"}}
    branches = {"unsure": unsure, "below": {"type": "workflow", "config": inner}}
    race = {"id": "first", "type": "race", "config": {"branches": branches}}
    # Its end makes the run look whether it has nothing to do but to wait.
    short = {"id": "short", "type": "wait", "config": {"for": "1s"}}
    await platform.register(org_id, dag("unsure", race, short, outputs={"by": "first.output.by"}))
    request = RunRequest(
        workflow_name="unsure", workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)

    await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=5), id=run.run_id, task_queue=RUNS_QUEUE
    )

    view = succeeded(await platform.ended(org_id, run.run_id))
    assert ({"by": "the other"}, 1) == (view.outputs, view.nodes[0].runs_below)

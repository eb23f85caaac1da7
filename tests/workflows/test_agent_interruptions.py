"""What comes between the turns of an agent: failures, cancellations, new histories, and a doubt."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.gate_models import DoubtResolution, Gate
from runs.models import RunState, StepState
from tests.deadline import deadline
from tests.scripted_provider import Fail, Hold
from tests.workflows.agency import SAY, Agency, asks, says
from tests.workflows.documents import QUICK_RETRY, agent, dag, projection
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_doubts import resolve
from tests.workflows.test_gates import gates, opened
from workflows.dag_run import AgentDag
from workflows.rerun_service import RerunRequest, RerunService
from workflows.service import RunRequest


async def test_a_finished_agent_is_taken_over_by_a_run_that_repeats_it(platform: Platform, org_id: str) -> None:
    agency = Agency(platform, org_id)
    await platform.prompt(org_id, "ask", "{{ content }}")
    platform.provider.script(asks(("tests_say", {"text": "x"})), says("done"))
    after = projection("after", {"v": "a.output"}, depends=["a"])
    first = succeeded(
        await platform.run(org_id, dag("a", agent("a", "'x'", SAY), after, outputs={"v": "after.output"}))
    )
    resources = platform.resources
    service = RerunService(resources.database, resources.blobs, platform.temporal, resources.clock)

    wish = RerunRequest(run_id=first.run.run_id, from_nodes=("after",), changes={})
    again = (await service.rerun(org_id=org_id, request=wish)).run

    view = succeeded(await platform.ended(org_id, again.run_id))
    assert {"v": {"v": "done"}} == view.outputs
    assert (True, False) == tuple(node.reused for node in view.nodes)
    assert 2 == len(agency.bodies)


async def test_a_turn_that_fails_for_a_while_is_tried_again_alone(agency: Agency) -> None:
    node = agent("a", "'x'", SAY, retry=QUICK_RETRY)

    view = succeeded(
        await agency.run(
            node,
            asks(("tests_say", {"text": "x"})),
            Fail(status=429, retry_after="0.05"),
            says("there"),
        )
    )

    attempts = {step.key.part: step.attempt for step in await agency.platform.steps(agency.org_id, view.run.run_id)}
    assert {"turn:0": 1, "call:0.0": 1, "turn:1": 2, None: 1} == attempts


async def test_a_cancellation_reaches_a_turn_under_way(platform: Platform, org_id: str) -> None:
    agency = Agency(platform, org_id)
    await platform.prompt(org_id, "ask", "{{ content }}")
    await platform.register(org_id, dag("a", agent("a", "'x'", SAY)))
    abandoned = platform.provider.abandonments
    platform.provider.script(asks(("tests_say", {"text": "x"})), Hold())
    run_id = await platform.submit(org_id, "a")
    await platform.provider.received(agency.first + 2)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    view = await platform.ended(org_id, run_id)

    await platform.provider.abandoned(abandoned + 1)
    assert RunState.CANCELLED == view.run.state
    states = {step.key.part: step.state for step in await platform.steps(org_id, run_id)}
    assert StepState.COMMITTED == states["call:0.0"]


async def test_an_agent_goes_on_in_the_next_history_where_it_was(platform: Platform, org_id: str) -> None:
    agency = Agency(platform, org_id)
    await platform.prompt(org_id, "ask", "{{ content }}")
    document = dag("a", agent("a", "'x'", SAY), projection("after", {"v": "a.output"}, depends=["a"]))
    await platform.register(org_id, document)
    turns = [asks(("tests_say", {"text": f"{number}"})) for number in range(5)]
    platform.provider.script(*turns, says("done"))
    request = RunRequest(
        workflow_name="a", workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=25), id=run.run_id, task_queue=RUNS_QUEUE
    )
    async with deadline("the workflow to end"):
        await handle.result()

    view = succeeded(await platform.ended(org_id, run.run_id))
    assert 6 == len(agency.bodies)
    assert 6 == len([part for part, kind, _ in await agency.parts(view.run.run_id) if kind == "llm"])
    assert [str(number) for number in range(5)] == agency.told(5)
    runs = [found.run_id async for found in platform.temporal.list_workflows(f"WorkflowId = '{run.run_id}'")]
    assert len(runs) > 1


async def test_a_loop_that_begins_anew_pays_for_nothing_twice(platform: Platform, org_id: str) -> None:
    agency = Agency(platform, org_id)
    view = succeeded(await agency.run(agent("a", "'x'", SAY), asks(("tests_say", {"text": "x"})), says("done")))
    run = view.run
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)

    # The journal knows that it has ended before Temporal does.
    await platform.temporal.get_workflow_handle(run.run_id).result()
    again = await platform.temporal.execute_workflow(
        AgentDag.run, RunStart(run=reference), id=run.run_id, task_queue=RUNS_QUEUE
    )

    assert run.outputs_digest == again.outputs_digest
    assert 2 == len(agency.bodies)


@pytest.mark.parametrize(
    ("resolution", "given"),
    [
        (DoubtResolution.PERFORMED, "seat 1a is yours"),
        (DoubtResolution.NOT_PERFORMED, None),
        (DoubtResolution.FAIL, None),
    ],
)
async def test_a_call_that_may_have_had_its_effect_waits_for_a_person(
    platform: Platform, org_id: str, resolution: DoubtResolution, given: str | None
) -> None:
    agency = Agency(platform, org_id)
    await platform.prompt(org_id, "ask", "{{ content }}")
    node = agent("a", "'x'", "mcp:tests/die_booking", retry={"attempts": 1})
    await platform.register(org_id, dag("a", node, outputs={"answer": "a.output"}))
    platform.provider.script(
        asks(("tests_die_booking", {"seat": "1a"})), *([says("as you say")] if given is not None else [])
    )
    run_id = await platform.submit(org_id, "a")

    gate = await opened(platform, org_id, run_id)
    assert {"tool": "mcp:tests/die_booking", "arguments": {"seat": "1a"}} == {
        name: value for name, value in (await shown(platform, gate)).items() if name in {"tool", "arguments"}
    }
    await resolve(platform, gate, resolution, **({"output": given} if given else {}))
    if resolution is DoubtResolution.NOT_PERFORMED:
        # It is called again, and the server dies again.
        gate = await another(platform, org_id, run_id, gate)
        await resolve(platform, gate, DoubtResolution.FAIL, decision_id="decision_2")

    view = await platform.ended(org_id, run_id)
    if given is not None:
        assert {"answer": "as you say"} == succeeded(view).outputs
        assert [given] == agency.told(1)
    else:
        assert ("a", "step.in_doubt") == (view.run.failed_node, view.run.error_code)


async def shown(platform: Platform, gate: Gate) -> Mapping[str, Any]:
    view = await gates(platform).get_approval(org_id=gate.org_id, gate_id=gate.gate_id)
    show: Mapping[str, Any] = view.show
    return show


async def another(platform: Platform, org_id: str, run_id: str, first: Gate) -> Gate:
    async def look() -> Gate | None:
        gate = await opened(platform, org_id, run_id)
        return gate if gate.gate_id != first.gate_id else None

    return await until(look)


async def test_a_tool_that_fails_within_its_transaction_is_told(agency: Agency) -> None:
    node = agent("a", "'x'", "records.put", "records.get")
    script = (
        asks(("records_put", {"collection": "c", "key": "k", "value": 1})),
        asks(("records_put", {"collection": "c", "key": "k", "value": 2, "if_absent": True})),
        asks(("records_get", {"collection": "c", "key": "k"})),
        says("kept"),
    )

    view = succeeded(await agency.run(node, *script))

    assert {"answer": "kept"} == view.outputs
    first, second, third = agency.told(3)
    assert {"version": 1} == json.loads(first)
    error = json.loads(second)["error"]
    assert "records.conflict" == error["code"]
    assert "'k'" in error["message"]
    assert 1 == json.loads(third)["value"]

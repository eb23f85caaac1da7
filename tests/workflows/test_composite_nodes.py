from itertools import pairwise
from typing import Any

import pytest

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.errors import NodeOutputNotFound, RunNotFound
from runs.models import RunState, StepState
from runs.plan import NodeState
from tests.deadline import deadline
from tests.scripted_provider import Hold
from tests.workflows.documents import QUICK_RETRY, Node, code, dag, large_map, llm, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.dag_run import AgentDag
from workflows.node_output_service import NodeOutputService
from workflows.service import RunRequest


def loop(node_id: str, inputs: dict[str, Any], **config: Any) -> Node:
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": inputs}}
    return {"id": node_id, "type": "loop", "config": {"body": body, **config}}


async def test_a_loop_goes_round_until_its_condition_holds(platform: Platform, org_id: str) -> None:
    counting = loop("count", {"n": "iteration", "before": "last"}, max_iterations=9, until="last.n >= inputs.enough")
    document = dag("counting", counting, outputs={"last": "count.output"})

    view = succeeded(await platform.run(org_id, document, {"enough": 2}))

    assert {"last": {"n": 2, "before": {"n": 1, "before": {"n": 0, "before": None}}}} == view.outputs
    steps = await platform.steps(org_id, view.run.run_id)
    assert ["iteration:0", "iteration:1", "iteration:2", None] == [step.key.part for step in steps]


async def test_a_loop_that_is_exhausted_gives_what_it_has_or_fails(platform: Platform, org_id: str) -> None:
    goes_on = loop("count", {"n": "iteration"}, max_iterations=2, until="false")
    fails = loop("count", {"n": "iteration"}, max_iterations=2, until="false", on_exhausted="fail")

    content = succeeded(await platform.run(org_id, dag("tired", goes_on, outputs={"last": "count.output.n"})))
    failed = await platform.run(org_id, dag("failing", fails))

    assert {"last": 1} == content.outputs
    assert (RunState.FAILED, "loop.exhausted", "count") == (
        failed.run.state, failed.run.error_code, failed.run.failed_node
    )  # fmt: skip


async def test_a_loop_goes_on_in_the_next_history_where_it_was(platform: Platform, org_id: str) -> None:
    counting = loop("count", {"n": "iteration", "sum": "last == null ? 0 : last.sum + iteration"}, max_iterations=12)
    await platform.register(org_id, dag("long_loop", counting, outputs={"sum": "count.output.sum"}))
    request = RunRequest(
        workflow_name="long_loop", workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)

    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=30), id=run.run_id, task_queue=RUNS_QUEUE
    )
    async with deadline("the workflow to end"):
        await handle.result()

    assert {"sum": 66} == succeeded(await platform.ended(org_id, run.run_id)).outputs
    assert 12 == sum(step.key.part is not None for step in await platform.steps(org_id, run.run_id))
    first = platform.temporal.get_workflow_handle(run.run_id, run_id=handle.first_execution_run_id)
    assert len((await first.fetch_history()).events) < 60


async def test_the_first_branch_that_succeeds_wins_and_the_others_are_cancelled(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    platform.provider.hold_again()
    platform.provider.script(Hold())
    branches = {
        "slow": {"type": "llm", "config": {"prompt_ref": "ask@1", "inputs": {"content": "'slow'"}}},
        "quick": {
            "type": "function",
            "config": {"function_name": "json_projection", "inputs": {"text": "'quick'"}},
            "after": "1s",
        },
    }
    document = dag(
        "race", {"id": "first", "type": "race", "config": {"branches": branches}}, outputs={"won": "first.output"}
    )

    view = succeeded(await platform.run(org_id, document))

    assert {"won": {"text": "quick"}} == view.outputs
    steps = {step.key.part: step.state for step in await platform.steps(org_id, view.run.run_id)}
    assert StepState.COMMITTED == steps["branch:quick"] == steps[None]
    assert StepState.CANCELLED == steps["branch:slow"]


async def test_a_branch_sets_out_at_once_when_all_before_it_have_failed(platform: Platform, org_id: str) -> None:
    branches = {
        "broken": code("function main() { throw new Error('no') }", {}),
        "later": {**code("function main() { return 'saved' }", {}), "after": "10m"},
    }
    document = dag(
        "hedged", {"id": "first", "type": "race", "config": {"branches": branches}}, outputs={"won": "first.output"}
    )

    view = succeeded(await platform.run(org_id, document))

    assert {"won": "saved"} == view.outputs


async def test_a_race_that_nobody_wins_fails_with_what_each_branch_failed_of(platform: Platform, org_id: str) -> None:
    broken = code("function main() { throw new Error('no') }", {})
    document = dag("lost", {"id": "first", "type": "race", "config": {"branches": {"a": broken, "b": broken}}})

    view = await platform.run(org_id, document)

    assert (RunState.FAILED, "race.lost") == (view.run.state, view.run.error_code)
    assert "a: " in str(view.run.error_message)
    assert "b: " in str(view.run.error_message)


async def test_a_long_list_is_reduced_part_by_part(platform: Platform, org_id: str) -> None:
    adding = code("function main(input) { return input.items.reduce((a, b) => a + b, 0) }", {"items": "items"})
    document = dag(
        "sum",
        {"id": "sum", "type": "reduce", "config": {"over": "inputs.numbers", "fan_in": 3, "body": adding}},
        outputs={"sum": "sum.output"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(20))}))

    assert {"sum": 190} == view.outputs
    parts = {str(step.key.part) for step in await platform.steps(org_id, view.run.run_id)}
    assert {f"level:0.{place}" for place in range(7)} < parts
    assert {"level:1.0", "level:1.1", "level:1.2", "level:2.0"} < parts


async def test_a_tree_of_too_many_steps_is_refused(platform: Platform, org_id: str) -> None:
    adding = code("function main(input) { return 0 }", {"items": "items"})
    document = dag(
        "too_many", {"id": "sum", "type": "reduce", "config": {"over": "inputs.numbers", "fan_in": 2, "body": adding}}
    )

    view = await platform.run(org_id, document, {"numbers": list(range(500))})

    assert "reduce.too_large" == view.run.error_code


async def test_a_workflow_runs_below_another_with_inputs_outputs_and_a_row_of_its_own(
    platform: Platform, org_id: str
) -> None:
    await platform.register(
        org_id, dag("shout", projection("say", {"text": "inputs.word + '!'"}), outputs={"said": "say.output.text"})
    )
    below = {"id": "below", "type": "workflow", "config": {"name": "shout", "inputs": {"word": "inputs.greeting"}}}
    document = dag("above", below, outputs={"all": "below.output.said"})

    view = succeeded(await platform.run(org_id, document, {"greeting": "hello"}))

    assert {"all": "hello!"} == view.outputs
    assert 1 == view.nodes[0].runs_below
    listed = await platform.service.list_runs(
        org_id=org_id, before=None, limit=9, workflow_name=None, state=None, parent_run_id=view.run.run_id
    )
    assert [("shout", RunState.SUCCEEDED, "below")] == [
        (run.workflow_name, run.state, run.parent_node_id) for run in listed
    ]
    top = await platform.service.list_runs(org_id=org_id, before=None, limit=9, workflow_name=None, state=None)
    assert [view.run.run_id] == [run.run_id for run in top]


async def test_the_items_of_a_map_may_each_be_nodes_of_their_own(platform: Platform, org_id: str) -> None:
    inner = {
        "inputs": {"word": "item", "place": "index"},
        "nodes": [
            projection("first", {"text": "word + '?'"}),
            projection("second", {"text": "first.output.text + string(place)"}, depends=["first"]),
        ],
        "outputs": {"said": "second.output.text"},
    }
    each = {
        "id": "each",
        "type": "map",
        "config": {"over": "inputs.words", "body": {"type": "workflow", "config": inner}},
    }

    view = succeeded(
        await platform.run(org_id, dag("nested", each, outputs={"all": "each.output"}), {"words": ["a", "b"]})
    )

    assert {"all": [{"said": "a?0"}, {"said": "b?1"}]} == view.outputs
    assert 2 == view.nodes[0].runs_below


async def test_what_runs_below_spend_is_the_run_s_and_its_budget_is_theirs(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    inner = {"inputs": {"text": "inputs.text"}, "nodes": [llm("ask", "text")], "outputs": {"answer": "ask.output"}}
    document = dag("spending", {"id": "below", "type": "workflow", "config": inner})

    paid = succeeded(await platform.run(org_id, document, {"text": "a question"}, budget=1_000_000))
    refused = await platform.run(org_id, document, {"text": "another question"}, budget=1)

    assert paid.run.cost_micro_usd > 0
    assert paid.run.cost_micro_usd == paid.nodes[0].cost_micro_usd
    assert (RunState.FAILED, "budget.exceeded") == (refused.run.state, refused.run.error_code)


async def test_a_failure_below_is_the_node_s(platform: Platform, org_id: str) -> None:
    inner = {"nodes": [{"id": "bad", **code("function main() { throw new Error('no') }", {})}]}
    document = dag("unlucky", {"id": "below", "type": "workflow", "config": inner})

    view = await platform.run(org_id, document)

    assert (RunState.FAILED, "below") == (view.run.state, view.run.failed_node)
    assert "node 'bad'" in str(view.run.error_message)


async def test_a_cancelled_run_cancels_the_runs_below_it(platform: Platform, org_id: str) -> None:
    inner = {"nodes": [{"id": "rest", "type": "wait", "config": {"for": "1h"}}]}
    await platform.register(org_id, dag("stopped", {"id": "below", "type": "workflow", "config": inner}))
    run_id = await platform.submit(org_id, "stopped")

    async def below() -> list[Any]:
        return [
            run
            for run in await platform.service.list_runs(
                org_id=org_id, before=None, limit=9, workflow_name=None, state=None, parent_run_id=run_id
            )
            if (await platform.service.get_run(org_id=org_id, run_id=run.run_id)).nodes[0].state is NodeState.RUNNING
        ]

    child = (await until(below))[0]
    await platform.service.cancel(org_id=org_id, run_id=run_id)

    assert RunState.CANCELLED == (await platform.ended(org_id, run_id)).run.state
    assert RunState.CANCELLED == (await platform.ended(org_id, child.run_id)).run.state


async def test_what_failed_is_asked_for_by_its_outcome(platform: Platform, org_id: str) -> None:
    document = dag(
        "outcomes",
        {"id": "bad", **code("function main() { throw new Error('no') }", {})},
        projection("good", {"v": "1"}),
        projection("mended", {"v": "2"}, depends="bad.failed && good.succeeded"),
        projection("unused", {"v": "3"}, depends="bad.succeeded"),
        projection("after", {"v": "mended.output.v + 1"}, depends="mended.succeeded || unused.succeeded"),
        outputs={"v": "after.output.v"},
    )

    view = succeeded(await platform.run(org_id, document))

    assert {"v": 3} == view.outputs
    assert {
        "bad": "failed", "good": "succeeded", "mended": "succeeded", "unused": "skipped", "after": "succeeded"
    } == {node.node_id: node.state.value for node in view.nodes}  # fmt: skip


async def test_a_paused_run_begins_nothing_until_it_is_resumed(platform: Platform, org_id: str) -> None:
    document = dag(
        "paused",
        {"id": "event", "type": "wait", "config": {"for": "1s"}},
        projection("after", {"v": "1"}, depends=["event"]),
        outputs={"v": "after.output.v"},
    )
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "paused")
    paused = (await platform.service.pause(org_id=org_id, run_id=run_id)).view

    async def waits() -> bool:
        view = await platform.service.get_run(org_id=org_id, run_id=run_id)
        return view.nodes[0].state is NodeState.SUCCEEDED

    if paused.nodes[0].state is not NodeState.PENDING:
        await until(waits)

    async def opened() -> dict[str, Any] | None:
        status: dict[str, Any] = await platform.temporal.get_workflow_handle(run_id).query("status")
        return status if status["nodes"] else None

    status = await until(opened)
    assert status["is_paused"]
    assert "pending" == status["nodes"]["after"]
    assert paused.run.paused_at is not None
    resumed = (await platform.service.resume(org_id=org_id, run_id=run_id)).view

    assert resumed.run.paused_at is None
    assert {"v": 1} == succeeded(await platform.ended(org_id, run_id)).outputs


async def test_no_more_steps_are_under_way_than_the_document_allows(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    nodes = [llm(f"n{number}", f"'{number}'") for number in range(4)]

    view = succeeded(await platform.run(org_id, dag("narrow", *nodes, concurrency=1)))

    intervals = sorted(
        (node.started_at, node.finished_at) for node in view.nodes if node.started_at and node.finished_at
    )
    assert 4 == len(intervals)
    assert all(before[1] <= after[0] for before, after in pairwise(intervals))


async def test_a_step_is_tried_again_after_the_errors_that_its_document_names(platform: Platform, org_id: str) -> None:
    broken = code("function main() { throw new Error('no') }", {})
    never = {**QUICK_RETRY, "when": "false"}
    twice = {**QUICK_RETRY, "when": "error.code == 'code.raised' && attempt < 2", "jitter": 0.5}

    once = await platform.run(org_id, dag("once", {"id": "bad", **broken, "retry": never}))
    again = await platform.run(org_id, dag("again", {"id": "bad", **broken, "retry": twice}))

    assert 1 == once.nodes[0].attempts
    assert (RunState.FAILED, 2) == (again.run.state, again.nodes[0].attempts)


async def test_what_nodes_gave_is_read_from_a_run_that_failed(platform: Platform, org_id: str) -> None:
    outputs = NodeOutputService(platform.resources.database, platform.resources.blobs)
    broken = {"id": "bad", **code("function main() { throw new Error('no') }", {})}
    document = dag("half", projection("good", {"v": "1"}), {**broken, "depends": ["good"]})
    view = await platform.run(org_id, document)

    good = await outputs.read(org_id=org_id, run_id=view.run.run_id, node_id="good", first=0, limit=9)

    assert ({"v": 1}, None) == (good.value, good.item_count)
    for org, node in ((org_id, "bad"), (org_id, "none")):
        with pytest.raises(NodeOutputNotFound):
            await outputs.read(org_id=org, run_id=view.run.run_id, node_id=node, first=0, limit=9)
    with pytest.raises(RunNotFound):
        await outputs.read(org_id="org_other", run_id=view.run.run_id, node_id="good", first=0, limit=9)


async def test_a_long_list_is_read_in_parts(platform: Platform, org_id: str) -> None:
    outputs = NodeOutputService(platform.resources.database, platform.resources.blobs)
    each = large_map("each", "inputs.numbers", {"n": "item", "text": "inputs.text"})
    inputs = {"numbers": list(range(2_500)), "text": "x" * 500}
    view = succeeded(await platform.run(org_id, dag("long_list", each), inputs))

    part = await outputs.read(org_id=org_id, run_id=view.run.run_id, node_id="each", first=995, limit=10)
    last = await outputs.read(org_id=org_id, run_id=view.run.run_id, node_id="each", first=2_495, limit=10)
    beyond = await outputs.read(org_id=org_id, run_id=view.run.run_id, node_id="each", first=9_999, limit=10)

    assert (2_500, list(range(995, 1_005))) == (part.item_count, [item["n"] for item in part.value])
    assert list(range(2_495, 2_500)) == [item["n"] for item in last.value]
    assert [] == beyond.value

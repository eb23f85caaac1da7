"""The interpreter on a real Temporal server, sandboxed, with real activities."""

from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.models import Run, RunState
from runs.plan import NodeState
from tests.deadline import deadline
from tests.scripted_provider import Hold
from tests.workflows.documents import dag, function, function_map, large_map, llm, llm_map, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.dag_run import AgentDag
from workflows.dag_spec import MAX_NODES
from workflows.service import RunRequest


def states(view: Any) -> dict[str, NodeState]:
    return {node.node_id: node.state for node in view.nodes}


async def test_a_chain_passes_its_values_on(platform: Platform, org_id: str) -> None:
    document = dag(
        "chain",
        projection("first", {"value": "inputs.start"}),
        projection("second", {"value": "first.output.value + 1"}, depends=["first"]),
        outputs={"value": "second.output.value"},
    )

    view = succeeded(await platform.run(org_id, document, {"start": 41}))

    assert {"value": 42} == view.outputs
    assert {"first": NodeState.SUCCEEDED, "second": NodeState.SUCCEEDED} == states(view)


async def test_the_specifications_example_runs(platform: Platform, org_id: str) -> None:
    for template in ("One {{ content }}", "Two {{ content }}", "Three {{ content }}"):
        await platform.prompt(org_id, "document_analyzer", template)
    fetch = {"tool_name": "s3.fetch", "tool_args": {"bucket": "documents", "key": "{{document_key}}"}}
    analyze = llm("analyze", "ingest.output", prompt="document_analyzer@3", policy={"quality": "Gold", "sla_ms": 30000})
    document = dag(
        "document_analysis",
        {"id": "ingest", "type": "tool", "config": fetch},
        analyze,
        version=1,
        edges=[{"from": "ingest", "to": "analyze"}],
        outputs={"analysis": "analyze.output"},
    )

    view = succeeded(await platform.run(org_id, document, {"document_key": "letter.txt"}, budget=10_000_000))

    assert view.outputs is not None
    assert str(view.outputs["analysis"]).startswith("echo ")
    assert {"EMAIL": 1, "PHONE": 1} == view.pii
    assert view.run.cost_micro_usd > 0


async def test_a_condition_that_does_not_hold_skips_its_branch_and_the_arms_meet_again(
    platform: Platform, org_id: str
) -> None:
    document = dag(
        "arms",
        projection("kind", {"value": "inputs.kind"}),
        projection("long_way", {"took": "'long'"}, depends=["kind"], when="kind.output.value == 'long'"),
        projection("after_long", {"took": "long_way.output.took"}, depends=["long_way"]),
        projection("short_way", {"took": "'short'"}, depends=["kind"], when="kind.output.value == 'short'"),
        function(
            "meet",
            "result_merger",
            {"results": ["after_long.output", "short_way.output"]},
            depends=["after_long", "short_way"],
        ),
        outputs={"took": "meet.output.merged.took", "long": "long_way.status"},
    )

    view = succeeded(await platform.run(org_id, document, {"kind": "short"}))

    assert {"took": "short", "long": "skipped"} == view.outputs
    assert NodeState.SKIPPED == states(view)["after_long"]


async def test_a_map_keeps_the_order_of_its_list(platform: Platform, org_id: str) -> None:
    document = dag(
        "squares",
        function_map("square", "inputs.numbers", {"value": "item * item", "at": "index"}),
        outputs={"squares": "square.output"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(25))}))

    assert {"squares": [{"value": n * n, "at": n} for n in range(25)]} == view.outputs
    assert (25, 25) == (view.nodes[0].items_done, view.nodes[0].items_total)


async def test_a_map_over_nothing_gives_an_empty_list(platform: Platform, org_id: str) -> None:
    document = dag("nothing", function_map("each", "inputs.items_", {}), outputs={"found": "each.output"})

    assert {"found": []} == succeeded(await platform.run(org_id, document, {"items_": []})).outputs


async def test_a_map_never_has_more_calls_under_way_than_its_window(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Window {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(*[Hold()] * 3)
    await platform.register(org_id, dag("window", llm_map("ask_each", "inputs.texts", window=3)))

    run_id = await platform.submit(org_id, "window", {"texts": [f"text {n}" for n in range(9)]})
    await platform.provider.received(before + 3)
    under_way = len(platform.provider.requests) - before
    platform.provider.release()
    succeeded(await platform.ended(org_id, run_id))

    assert 3 == under_way
    assert 9 == len(platform.provider.requests) - before


async def test_a_map_with_more_items_than_it_allows_fails_with_the_numbers(platform: Platform, org_id: str) -> None:
    each = function_map("each", "inputs.items_", {})
    each["config"]["max_items"] = 200

    view = await platform.run(org_id, dag("many", each), {"items_": list(range(201))})

    assert (RunState.FAILED, "map.too_large", "each") == (view.run.state, view.run.error_code, view.run.failed_node)
    assert "201" in str(view.run.error_message)


async def test_a_failed_node_stops_what_has_not_begun_and_keeps_what_was_done(platform: Platform, org_id: str) -> None:
    document = dag(
        "half",
        projection("good", {"value": "1"}),
        function("bad", "result_merger", {"results": ["1", "'text'"]}, depends=["good"]),
        projection("never", {}, depends=["bad"]),
    )

    view = await platform.run(org_id, document)

    assert (RunState.FAILED, "function.failed", "bad") == (view.run.state, view.run.error_code, view.run.failed_node)
    assert {
        "good": NodeState.SUCCEEDED,
        "bad": NodeState.FAILED,
        "never": NodeState.CANCELLED,
    } == states(view)
    async with deadline("the workflow to fail"):
        with pytest.raises(WorkflowFailureError) as failure:
            await platform.temporal.get_workflow_handle(view.run.run_id).result()
    assert isinstance(failure.value.cause, ApplicationError)
    assert "function.failed" == failure.value.cause.type


async def test_a_run_goes_on_from_a_failure_that_it_is_told_to_go_on_from(platform: Platform, org_id: str) -> None:
    bad = function("bad", "result_merger", {"results": ["1", "'text'"]}, on_error="continue")
    document = dag(
        "goes_on",
        bad,
        projection("mended", {"text": "'instead'"}, depends=["bad"], when="bad.status == 'failed'"),
        projection("never", {"text": "bad.output.merged"}, depends=["bad"], when="bad.status == 'succeeded'"),
        projection(
            "after",
            {"text": "bad.status == 'failed' ? mended.output.text : 'as it was'", "was": "bad.status"},
            depends=["mended", "never"],
        ),
        large_map("none", "bad.output", {"value": "item"}, depends=["bad"]),
        outputs={"text": "after.output.text", "was": "after.output.was", "bad": "bad.status", "none": "none.output"},
    )

    view = succeeded(await platform.run(org_id, document))

    assert {"text": "instead", "was": "failed", "bad": "failed", "none": []} == view.outputs
    assert {
        "bad": NodeState.FAILED,
        "mended": NodeState.SUCCEEDED,
        "never": NodeState.SKIPPED,
        "after": NodeState.SUCCEEDED,
        "none": NodeState.SUCCEEDED,
    } == states(view)
    assert "function.failed" == view.nodes[0].error_code


async def test_after_a_failure_a_map_begins_no_further_item(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Stop {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold())
    bad = function("bad", "result_merger", {"results": ["1", "'text'"]}, when="inputs.texts[0] == 'a'")
    await platform.register(org_id, dag("stopping", llm_map("each", "inputs.texts", window=1), bad))
    run_id = await platform.submit(org_id, "stopping", {"texts": list("abcdef")})
    await platform.provider.received(before + 1)

    async def has_failed() -> bool:
        answer = await platform.temporal.get_workflow_handle(run_id).query("status")
        return str(answer["nodes"]["bad"]) == "failed"

    await until(has_failed)
    platform.provider.release()
    view = await platform.ended(org_id, run_id)

    assert (RunState.FAILED, "bad") == (view.run.state, view.run.failed_node)
    assert {"each": NodeState.CANCELLED, "bad": NodeState.FAILED} == states(view)
    assert before + 1 == len(platform.provider.requests)


async def test_a_cancellation_that_comes_while_the_run_closes_does_not_lose_it(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Close {{ content }}")
    await platform.register(org_id, dag("closing", llm("only", "inputs.text"), outputs={"answer": "only.output"}))
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold())
    run_id = await platform.submit(org_id, "closing", {"text": "late"})
    handle = platform.temporal.get_workflow_handle(run_id)
    await platform.provider.received(before + 1)

    async def is_closing() -> bool:
        return "close_run" in (await handle.fetch_history()).to_json()

    async with platform.resources.database.transaction() as lock:
        # Whoever closes the run waits for this; the step that comes before is still with its vendor.
        await lock.execute(text("SELECT 1 FROM runs WHERE run_id = :run_id FOR UPDATE"), {"run_id": run_id})
        platform.provider.release()
        await until(is_closing)
        await handle.cancel()
        await until(lambda: _was_asked_to_cancel(handle))

    view = succeeded(await platform.ended(org_id, run_id))
    assert view.outputs is not None
    assert view.outputs["answer"]


async def _was_asked_to_cancel(handle: Any) -> bool:
    return "CANCEL_REQUESTED" in (await handle.fetch_history()).to_json()


async def test_outputs_that_cannot_be_made_fail_the_run(platform: Platform, org_id: str) -> None:
    document = dag("outputless", projection("only", {"value": "1"}), outputs={"missing": "only.output.value.deeper"})

    view = await platform.run(org_id, document)

    assert (RunState.FAILED, "expression.failed") == (view.run.state, view.run.error_code)


async def test_a_run_that_continues_as_new_loses_and_repeats_nothing(platform: Platform, org_id: str) -> None:
    nodes = [projection("n0", {"value": "0"})]
    nodes += [projection(f"n{n}", {"value": f"n{n - 1}.output.value + 1"}, depends=[f"n{n - 1}"]) for n in range(1, 12)]
    await platform.register(org_id, dag("long", *nodes, outputs={"value": "n11.output.value"}))
    run = await recorded(platform, org_id, "long")

    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference(run), history_limit_events=20), id=run.run_id, task_queue=RUNS_QUEUE
    )
    async with deadline("the workflow to end"):
        await handle.result()

    view = succeeded(await platform.ended(org_id, run.run_id))
    assert {"value": 11} == view.outputs
    assert [1] * 12 == [step.fence for step in await platform.steps(org_id, run.run_id)]
    first = await platform.temporal.get_workflow_handle(
        run.run_id, run_id=handle.first_execution_run_id
    ).fetch_history()
    assert len(first.events) < 40


async def test_a_cancelled_run_hangs_up_on_its_vendor_and_says_what_it_had(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Cancel {{ content }}")
    document = dag("cancel", projection("done", {"value": "1"}), llm("slow", "inputs.text", depends=["done"]))
    await platform.register(org_id, document)
    before, left = len(platform.provider.requests), platform.provider.abandonments
    platform.provider.hold_again()
    platform.provider.script(Hold())
    run_id = await platform.submit(org_id, "cancel", {"text": "wait for me"})
    await platform.provider.received(before + 1)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    await platform.provider.abandoned(left + 1)
    view = await platform.ended(org_id, run_id)

    assert RunState.CANCELLED == view.run.state
    assert {"done": NodeState.SUCCEEDED, "slow": NodeState.CANCELLED} == states(view)


async def test_the_status_query_tells_the_state_of_every_node(platform: Platform, org_id: str) -> None:
    document = dag("asked", projection("one", {}), projection("two", {}, depends=["one"]))
    view = succeeded(await platform.run(org_id, document))

    answer = await platform.temporal.get_workflow_handle(view.run.run_id).query("status")

    expected = {"nodes": {"one": "succeeded", "two": "succeeded"}, "items_done": {}, "is_paused": False}
    assert expected == answer


async def test_a_run_of_as_many_nodes_as_a_document_may_have_ends(platform: Platform, org_id: str) -> None:
    nodes = [projection(f"node_{n}", {"value": str(n)}) for n in range(MAX_NODES)]

    view = succeeded(
        await platform.run(org_id, dag("widest", *nodes, outputs={"last": f"node_{MAX_NODES - 1}.output"}))
    )

    assert {"last": {"value": MAX_NODES - 1}} == view.outputs


async def test_facts_that_would_not_fit_into_history_are_asked_where_the_content_is(
    platform: Platform, org_id: str
) -> None:
    nodes = [projection(f"node_{n}", {"value": "inputs.text"}) for n in range(12)]
    asks = projection("last", {}, depends=[node["id"] for node in nodes])
    asks["when"] = " && ".join(f"node_{n}.output.value != ''" for n in range(12))

    document = dag("talkative", *nodes, asks, outputs={"last": "last.status"})
    view = succeeded(await platform.run(org_id, document, {"text": "x" * 4_000}))

    assert {"last": "succeeded"} == view.outputs


async def test_history_holds_references_and_never_the_documents(platform: Platform, org_id: str) -> None:
    secret = "a sentence that only the document has " * 200
    document = dag(
        "private",
        projection("hold_it", {"text": "inputs.text"}),
        function("cut", "text_splitter", {"text": "hold_it.output.text"}, depends=["hold_it"]),
        function_map("each", "cut.output.chunks", {"text": "item"}, depends=["cut"]),
        outputs={"count": "cut.output.count"},
    )
    view = succeeded(await platform.run(org_id, document, {"text": secret}))

    history = await platform.temporal.get_workflow_handle(view.run.run_id).fetch_history()

    assert "a sentence that only" not in history.to_json()
    assert max(event.ByteSize() for event in history.events) < 8_192


async def recorded(platform: Platform, org_id: str, name: str) -> Run:
    """A run that is recorded and not started."""
    request = RunRequest(
        workflow_name=name, workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    return await platform.service.record(org_id=org_id, request=request)


def reference(run: Run) -> RunRef:
    return RunRef(org_id=run.org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)

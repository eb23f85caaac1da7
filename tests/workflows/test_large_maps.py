"""Maps of many items on a real Temporal server: batched, in shards, with failures that are tolerated."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.map_payloads import ShardStart
from activities.payloads import RUNS_QUEUE
from runs.models import RunState
from runs.plan import NodeState
from runs.run_view import NodeView, RunView
from tests.deadline import deadline
from tests.scripted_provider import Hold
from tests.workflows.documents import dag, function, large_map, llm, llm_map, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.map_shard import MapShard


def node(view: RunView, node_id: str) -> NodeView:
    return next(node for node in view.nodes if node.node_id == node_id)


async def shards(platform: Platform, run_id: str) -> list[str]:
    """The ids of a run's shards, once Temporal's index knows of them."""

    async def listed() -> list[str]:
        found: AsyncIterator[Any] = platform.temporal.list_workflows(f"WorkflowId STARTS_WITH '{run_id}/'")
        return [execution.id async for execution in found]

    return await until(listed)


async def events_of(platform: Platform, workflow_id: str) -> int:
    history = await platform.temporal.get_workflow_handle(workflow_id).fetch_history()
    return len(history.events)


async def test_a_batched_map_keeps_the_order_of_its_list_in_few_events(platform: Platform, org_id: str) -> None:
    document = dag(
        "batched",
        large_map("square", "inputs.numbers", {"value": "item * item", "at": "index"}, batch=100),
        outputs={"squares": "square.output"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(1_234))}))

    assert view.outputs is not None
    assert [{"value": n * n, "at": n} for n in range(1_234)] == view.outputs["squares"]
    square = node(view, "square")
    assert (1_234, 1_234, 0) == (square.items_total, square.items_done, square.items_failed)
    rows = await platform.rows(
        "SELECT count(*) AS rows, count(DISTINCT item_index) AS items FROM map_items WHERE org_id = :org_id",
        org_id=org_id,
    )
    assert [{"rows": 1_234, "items": 1_234}] == rows
    assert await events_of(platform, view.run.run_id) < 150


async def test_items_of_a_map_read_the_inputs_and_other_nodes(platform: Platform, org_id: str) -> None:
    document = dag(
        "reading",
        projection("base", {"value": "inputs.base"}),
        large_map("each", "inputs.numbers", {"sum": "item + base.output.value + inputs.more"}, depends=["base"]),
        outputs={"sums": "each.output.map(one, one.sum)"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(50)), "base": 100, "more": 7}))

    assert {"sums": [n + 107 for n in range(50)]} == view.outputs


async def test_a_long_list_goes_from_map_to_map_in_pages(platform: Platform, org_id: str) -> None:
    filling = "x" * 700
    document = dag(
        "paged",
        large_map("widen", "inputs.numbers", {"number": "item", "text": f"'{filling}'"}),
        large_map("narrow", "widen.output", {"number": "item.number + 1"}, depends=["widen"]),
        function("count", "json_projection", {"items_": "size(widen.output)"}, depends=["widen"]),
        outputs={"numbers": "narrow.output.map(one, one.number)", "count": "count.output.items_"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(2_500))}))

    assert {"numbers": [n + 1 for n in range(2_500)], "count": 2_500} == view.outputs
    kinds = await platform.rows(
        "SELECT count(*) AS lists FROM blobs WHERE org_id = :o AND media_type LIKE '%paged%'", o=org_id
    )
    # The pages of each map's items, and the results of the first, which are over a megabyte.
    assert [{"lists": 3}] == kinds


async def test_large_results_lie_on_pages_of_so_many_bytes(platform: Platform, org_id: str) -> None:
    text = "x" * 20_000
    document = dag(
        "bulky",
        large_map("each", "inputs.numbers", {"n": "item", "text": "inputs.text"}),
        {
            "id": "sum",
            "type": "reduce",
            "depends": ["each"],
            "config": {
                "over": "each.output",
                "fan_in": 200,
                "body": {
                    "type": "code",
                    "config": {
                        "language": "javascript",
                        "source": "function main(i) { return i.items.reduce((a, b) => a + (b.n ?? b), 0) }",
                        "inputs": {"items": "items"},
                    },
                },
            },
        },
        outputs={"sum": "sum.output"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(600)), "text": text}))

    assert {"sum": sum(range(600))} == view.outputs
    [output] = await platform.rows(
        "SELECT output_digest FROM map_outputs WHERE org_id = :org_id AND run_id = :run_id",
        org_id=org_id, run_id=view.run.run_id,
    )  # fmt: skip
    paged = await platform.resources.paged_list(org_id=org_id, digest=output["output_digest"])
    assert paged is not None
    assert 300 < paged.page_items < 600
    assert 600 == paged.count


@pytest.mark.parametrize(("lines", "is_paged"), [(3, False), (20_000, True)])
async def test_a_map_goes_over_the_lines_of_a_file(platform: Platform, org_id: str, lines: int, is_paged: bool) -> None:
    folder = Path(platform.resources.settings.buckets["documents"].removeprefix("file://"))
    rows = [json.dumps({"n": number, "text": "x" * 60}) for number in range(lines)]
    (folder / f"{org_id}.jsonl").write_text("\n\n".join(rows) + "\n")
    fetch = {"bucket": "documents", "key": f"{org_id}.jsonl", "as": "document"}
    document = dag(
        "lines",
        {"id": "fetch", "type": "tool", "config": {"tool_name": "s3.fetch", "tool_args": fetch}},
        {
            "id": "read",
            "type": "tool",
            "depends": ["fetch"],
            "config": {"tool_name": "document.json_lines", "tool_args": {"document": "{{ fetch.output }}"}},
        },
        large_map("each", "read.output", {"n": "item.n * 2"}, depends=["read"]),
        outputs={"last": "each.output"},
    )

    view = succeeded(await platform.run(org_id, document))

    assert view.outputs is not None
    assert [{"n": 2 * number} for number in range(lines)] == view.outputs["last"]
    [read] = [step for step in await platform.steps(org_id, view.run.run_id) if step.key.node_id == "read"]
    assert read.output is not None
    assert is_paged == (await platform.resources.paged_list(org_id=org_id, digest=read.output.digest) is not None)


async def test_a_line_that_is_not_json_is_named(platform: Platform, org_id: str) -> None:
    folder = Path(platform.resources.settings.buckets["documents"].removeprefix("file://"))
    (folder / f"{org_id}.jsonl").write_text('{"n": 1}\n{"n": NaN}\n')
    fetch = {"bucket": "documents", "key": f"{org_id}.jsonl", "as": "document"}
    document = dag(
        "broken_lines",
        {"id": "fetch", "type": "tool", "config": {"tool_name": "s3.fetch", "tool_args": fetch}},
        {
            "id": "read",
            "type": "tool",
            "depends": ["fetch"],
            "config": {"tool_name": "document.json_lines", "tool_args": {"document": "{{ fetch.output }}"}},
        },
    )

    view = await platform.run(org_id, document)

    assert "tool.document_unreadable" == view.run.error_code
    assert "line 2" in str(view.run.error_message)


async def test_tolerated_failures_are_null_in_the_results_and_counted(platform: Platform, org_id: str) -> None:
    document = dag(
        "tolerant",
        large_map("half", "inputs.numbers", {"value": "100 / item"}, batch=20, tolerate={"percent": 2}),
        outputs={"halves": "half.output"},
    )
    numbers = [0 if n in {7, 55} else 1 for n in range(100)]

    view = succeeded(await platform.run(org_id, document, {"numbers": numbers}))

    expected = [None if n in {7, 55} else {"value": 100} for n in range(100)]
    assert {"halves": expected} == view.outputs
    assert (100, 100, 2) == (
        node(view, "half").items_total,
        node(view, "half").items_done,
        node(view, "half").items_failed,
    )


async def test_more_failures_than_tolerated_fail_the_map_and_name_the_first_item(
    platform: Platform, org_id: str
) -> None:
    half = large_map("half", "inputs.numbers", {"value": "100 / item"}, batch=20, window=1, tolerate={"count": 1})
    numbers = [0 if n in {7, 25} else 1 for n in range(100)]

    view = await platform.run(org_id, dag("intolerant", half), {"numbers": numbers})

    assert (RunState.FAILED, "half", "expression.failed") == (
        view.run.state,
        view.run.failed_node,
        view.run.error_code,
    )
    assert "item 7" in str(view.run.error_message)
    # Two batches of twenty were enough to know.
    assert (40, 2) == (node(view, "half").items_done, node(view, "half").items_failed)


async def test_a_short_map_tolerates_failures_too(platform: Platform, org_id: str) -> None:
    half = large_map("half", "inputs.numbers", {"value": "100 / item"}, batch=1, tolerate={"count": 1})
    document = dag("short", half, outputs={"halves": "half.output"})

    view = succeeded(await platform.run(org_id, document, {"numbers": [1, 0, 2]}))

    assert {"halves": [{"value": 100}, None, {"value": 50}]} == view.outputs


async def test_steps_beyond_what_a_history_takes_run_in_shards(platform: Platform, org_id: str) -> None:
    document = dag(
        "sharded",
        large_map("each", "inputs.numbers", {"value": "item"}, batch=1, window=50),
        outputs={"values": "each.output.map(one, one.value)"},
    )

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(620))}))

    assert {"values": list(range(620))} == view.outputs
    assert (620, 620) == (node(view, "each").items_total, node(view, "each").items_done)
    ids = await shards(platform, view.run.run_id)
    assert {f"{view.run.run_id}/each.0/0-499", f"{view.run.run_id}/each.0/500-619"} == set(ids)
    assert await events_of(platform, view.run.run_id) < 100
    assert max([await events_of(platform, shard) for shard in ids]) < 3_100
    assert 620 == len(await platform.steps(org_id, view.run.run_id))


async def test_shards_stop_when_another_node_fails(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Shard {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold(), Hold())
    document = dag(
        "stopped",
        llm_map("each", "inputs.texts", window=1),
        llm("slow", "inputs.texts[0]"),
        function("bad", "result_merger", {"results": ["1", "'text'"]}, depends=["slow"]),
    )
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "stopped", {"texts": [f"text {n}" for n in range(250)]})
    await platform.provider.received(before + 2)

    platform.provider.release()
    view = await platform.ended(org_id, run_id)

    assert (RunState.FAILED, "bad") == (view.run.state, view.run.failed_node)
    assert NodeState.CANCELLED == node(view, "each").state
    assert len(platform.provider.requests) - before < 150
    shard = platform.temporal.get_workflow_handle(f"{run_id}/each.0/0-249")
    assert "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED" in (await shard.fetch_history()).to_json()


async def test_a_map_whose_run_has_failed_meanwhile_begins_nothing(platform: Platform, org_id: str) -> None:
    bad = function("bad", "result_merger", {"results": ["1", "'text'"]}, when="inputs.numbers[0] == 0")
    document = dag("late", bad, large_map("each", "inputs.numbers", {"value": "item"}, batch=1))

    view = await platform.run(org_id, document, {"numbers": list(range(300))})

    assert (RunState.FAILED, "bad") == (view.run.state, view.run.failed_node)
    assert NodeState.CANCELLED == node(view, "each").state


async def test_a_large_map_of_calls_tells_what_its_items_come_to(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Sum {{ content }}")
    each = llm_map("each", "inputs.texts", window=50, policy={"cache": False})
    await platform.register(org_id, dag("summed", each))
    run_id = await platform.submit(org_id, "summed", {"texts": [f"ada{n}@example.com" for n in range(205)]})

    view = succeeded(await platform.ended(org_id, run_id))

    seen = node(view, "each")
    assert (205, 205, 0, ("scripted-1",)) == (seen.items_total, seen.items_done, seen.items_failed, seen.models)
    assert {"EMAIL": 205} == seen.pii == view.pii
    assert view.run.cost_micro_usd == seen.cost_micro_usd > 0
    assert view.input_tokens == seen.input_tokens > 205


@pytest.mark.parametrize(("items", "batch"), [(150, 1), (450, 1), (2_000, 10)])
async def test_a_cancelled_run_begins_no_further_item(platform: Platform, org_id: str, items: int, batch: int) -> None:
    document = dag("endless", large_map("each", "inputs.numbers", {"value": "item"}, batch=batch, window=1))
    await platform.register(org_id, document)

    async def waits_for_the_lock() -> bool:
        return bool((await platform.rows("SELECT count(*) AS n FROM pg_locks WHERE NOT granted"))[0]["n"])

    async with platform.resources.database.transaction() as lock:
        # The first item cannot be recorded before the cancellation is on its way.
        await lock.execute(text("LOCK TABLE steps, map_items IN EXCLUSIVE MODE"))
        run_id = await platform.submit(org_id, "endless", {"numbers": list(range(items))})
        await until(waits_for_the_lock)
        await platform.service.cancel(org_id=org_id, run_id=run_id)
    view = await platform.ended(org_id, run_id)

    assert (RunState.CANCELLED, NodeState.CANCELLED) == (view.run.state, node(view, "each").state)
    assert (node(view, "each").items_done or 0) <= 3 * batch


async def test_items_of_which_nothing_is_recorded_are_tolerated_like_others(platform: Platform, org_id: str) -> None:
    # No worker serves the queue of tools so fast: each step runs out of its time in the queue.
    body = {"type": "tool", "config": {"tool_name": "s3.fetch", "tool_args": {"bucket": "nope", "key": "{{ item }}"}}}
    config = {"over": "inputs.keys", "body": body, "window": 100, "tolerate": {"percent": 100}}
    each = {"id": "each", "type": "map", "config": config, "timeout": {"queue": 0.001}, "retry": {"attempts": 1}}
    document = dag("unrecorded", each, outputs={"all": "each.output"})

    view = succeeded(await platform.run(org_id, document, {"keys": [f"key {n}" for n in range(210)]}))

    assert {"all": [None] * 210} == view.outputs


async def test_a_shard_whose_own_shards_do_not_start_fails_and_says_so(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Nested {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold())
    await platform.register(org_id, dag("nested", llm_map("each", "inputs.texts", window=1)))
    run_id = await platform.submit(org_id, "nested", {"texts": [f"text {n}" for n in range(501)]})
    await platform.provider.received(before + 1)
    running = platform.temporal.get_workflow_handle(f"{run_id}/each.0/0-499")
    [started] = [event async for event in running.fetch_history_events(page_size=1)][:1]
    [payload] = started.workflow_execution_started_event_attributes.input.payloads
    start = platform.temporal.data_converter.payload_converter.from_payload(payload, ShardStart)

    # Of all steps at once, it needs a shard of the name that is taken.
    outer = await platform.temporal.start_workflow(
        MapShard.run, replace(start, step_count=501), id=f"{run_id}/outer", task_queue=RUNS_QUEUE
    )
    async with deadline("the shard to fail"):
        with pytest.raises(WorkflowFailureError) as failure:
            await outer.result()

    assert isinstance(failure.value.cause, ApplicationError)
    assert "map.shard_failed" == failure.value.cause.type
    await platform.service.cancel(org_id=org_id, run_id=run_id)
    await platform.ended(org_id, run_id)


async def test_a_cancelled_run_cancels_its_shards(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Cancel {{ content }}")
    before, left = len(platform.provider.requests), platform.provider.abandonments
    platform.provider.hold_again()
    platform.provider.script(Hold())
    texts = [f"text {n}" for n in range(250)]
    await platform.register(org_id, dag("cancelled", llm_map("each", "inputs.texts", window=1)))
    run_id = await platform.submit(org_id, "cancelled", {"texts": texts})
    await platform.provider.received(before + 1)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    await platform.provider.abandoned(left + 1)
    view = await platform.ended(org_id, run_id)

    assert RunState.CANCELLED == view.run.state
    assert NodeState.CANCELLED == node(view, "each").state
    assert before + 1 == len(platform.provider.requests)


async def test_the_shards_of_a_map_keep_to_the_concurrency_of_the_document(platform: Platform, org_id: str) -> None:
    each = large_map("each", "inputs.numbers", {"value": "item"}, batch=1, window=50)
    document = dag("bounded", each, concurrency=3)

    view = succeeded(await platform.run(org_id, document, {"numbers": list(range(600))}))

    windows = []
    async for event in platform.temporal.get_workflow_handle(view.run.run_id).fetch_history_events():
        if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
            payloads = event.start_child_workflow_execution_initiated_event_attributes.input.payloads
            [start] = await platform.temporal.data_converter.decode(payloads, [ShardStart])
            windows.append(start.window)
    assert [2, 1] == windows

"""Runs that repeat others, on a real Temporal server: what is taken over, what runs again, what it costs."""

import json
from typing import Any

import pytest

from agentflow.money import MicroUsd
from runs.errors import IdempotencyKeyReused, RerunEmpty, RerunInvalid, RunNotFinished, RunNotFound
from runs.models import RunState
from runs.plan import NodeState
from runs.run_view import RunView
from tests.scripted_provider import Hold
from tests.workflows.documents import Node, dag, function, large_map, llm, llm_map, projection
from tests.workflows.platform import Platform, succeeded
from tests.workflows.world import ACT, World
from workflows.rerun_service import RerunRequest, RerunService


def reruns(platform: Platform) -> RerunService:
    resources = platform.resources
    return RerunService(resources.database, resources.blobs, platform.temporal, resources.clock)


async def rerun(platform: Platform, org_id: str, run_id: str, **wishes: Any) -> RunView:
    request = RerunRequest(run_id=run_id, **{"changes": {}, **wishes})
    run = (await reruns(platform).rerun(org_id=org_id, request=request)).run
    return await platform.ended(org_id, run.run_id)


def taken_over(view: RunView) -> set[str]:
    return {node.node_id for node in view.nodes if node.reused}


PAID = dag(
    "paid",
    llm("first", "inputs.text"),
    llm("second", "first.output", depends=["first"]),
    projection("third", {"text": "second.output", "note": "inputs.note"}, depends=["second"]),
    outputs={"text": "third.output.text", "note": "third.output.note"},
)


async def test_from_a_node_on_only_that_and_what_follows_is_paid_for(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Again {{ content }}")
    first = succeeded(await platform.run(org_id, PAID, {"text": "from here", "note": "a"}))
    before = len(platform.provider.requests)

    plan = await reruns(platform).preview(
        org_id=org_id, request=RerunRequest(run_id=first.run.run_id, from_nodes=("third",), changes={"note": "b"})
    )
    second = succeeded(
        await rerun(platform, org_id, first.run.run_id, from_nodes=("third",), changes={"inputs.note": "b"})
    )

    assert {"first", "second"} == taken_over(second)
    assert (0, MicroUsd(0), first.run.run_id) == (
        len(platform.provider.requests) - before,
        second.run.cost_micro_usd,
        second.run.rerun_of,
    )
    assert MicroUsd(0) == plan.estimated_cost_micro_usd
    assert first.outputs is not None
    assert {"text": first.outputs["text"], "note": "b"} == second.outputs
    third = succeeded(await rerun(platform, org_id, second.run.run_id, from_nodes=("third",)))
    assert ({"first", "second"}, second.outputs) == (taken_over(third), third.outputs)


async def test_the_estimate_is_what_the_nodes_cost_before(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Estimate {{ content }}")
    first = succeeded(await platform.run(org_id, PAID, {"text": "what of it", "note": "a"}))
    costs = {node.node_id: node.cost_micro_usd for node in first.nodes}

    plan = await reruns(platform).preview(
        org_id=org_id, request=RerunRequest(run_id=first.run.run_id, from_nodes=("second",), changes={})
    )

    assert costs["second"] == plan.estimated_cost_micro_usd > 0
    assert () == plan.unknown_cost_nodes


async def test_failed_nodes_run_again_on_an_edited_document_and_the_rest_is_kept(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Mend {{ content }}")
    good = llm("good", "inputs.text")
    bad = function("bad", "result_merger", {"results": ["1", "'text'"]}, depends=["good"])
    first = await platform.run(org_id, dag("mended", good, bad), {"text": "kept"})
    before = len(platform.provider.requests)
    mended = function("bad", "result_merger", {"results": ["'some'", "'text'"]}, depends=["good"])
    document = json.dumps(dag("mended", good, mended, outputs={"text": "bad.output.merged"}))

    with pytest.raises(RerunInvalid, match="no node 'nope'"):
        await rerun(platform, org_id, first.run.run_id, from_nodes=("nope",))
    second = succeeded(await rerun(platform, org_id, first.run.run_id, failed_only=True, document=document))

    assert RunState.FAILED == first.run.state
    assert ({"good"}, 0) == (taken_over(second), len(platform.provider.requests) - before)
    assert second.outputs is not None
    assert "some" in str(second.outputs["text"])


async def test_failed_only_refuses_to_run_again_what_succeeded(platform: Platform, org_id: str) -> None:
    document = dag("strict", projection("only", {"value": "inputs.value"}))
    first = succeeded(await platform.run(org_id, document, {"value": 1}))

    with pytest.raises(RerunInvalid, match="'only' succeeded and would run again, because input 'value' has changed"):
        await rerun(platform, org_id, first.run.run_id, failed_only=True, changes={"value": 2})
    with pytest.raises(RerunInvalid, match="not both"):
        await rerun(platform, org_id, first.run.run_id, failed_only=True, from_nodes=("only",))
    with pytest.raises(RerunEmpty):
        await rerun(platform, org_id, first.run.run_id)
    with pytest.raises(RerunInvalid, match="no object"):
        await rerun(platform, org_id, first.run.run_id, changes={"value.deeper": 2})


async def test_a_run_that_failed_in_its_outputs_is_mended_without_running_anything(
    platform: Platform, org_id: str
) -> None:
    only = projection("only", {"value": "1"})
    first = await platform.run(org_id, dag("outputs", only, outputs={"v": "only.output.value.deeper"}))

    mended = json.dumps(dag("outputs", only, outputs={"v": "only.output.value"}))
    second = succeeded(await rerun(platform, org_id, first.run.run_id, document=mended))

    assert RunState.FAILED == first.run.state
    assert ({"v": 1}, {"only"}) == (second.outputs, taken_over(second))


async def test_what_never_ran_has_no_known_cost(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Unknown {{ content }}")
    bad = function("bad", "result_merger", {"results": ["1", "'text'"]})
    first = await platform.run(org_id, dag("unknown", bad, llm("never", "inputs.text", depends=["bad"])), {"text": "x"})

    plan = await reruns(platform).preview(org_id=org_id, request=RerunRequest(run_id=first.run.run_id, changes={}))

    assert (("never",), MicroUsd(0)) == (plan.unknown_cost_nodes, plan.estimated_cost_micro_usd)


async def test_a_path_that_nests_too_deep_is_refused(platform: Platform, org_id: str) -> None:
    first = succeeded(await platform.run(org_id, dag("deep", projection("only", {"v": "inputs"})), {"a": 1}))

    with pytest.raises(RerunInvalid, match="at most"):
        await rerun(platform, org_id, first.run.run_id, changes={".".join("a" * 5_000): 1})


async def test_a_chain_of_reruns_takes_items_over_from_where_they_were_done(platform: Platform, org_id: str) -> None:
    numbers = [0 if n == 33 else 1 for n in range(60)]
    gate = projection("gate", {"value": "100 / inputs.divisor"})
    half = large_map("half", "inputs.numbers", {"value": "100 / item"}, batch=10, depends=["gate"])
    first = await platform.run(org_id, dag("chained", gate, half), {"numbers": numbers, "divisor": 1})
    second = await rerun(platform, org_id, first.run.run_id, changes={"divisor": 0})
    third = await rerun(platform, org_id, second.run.run_id, changes={"divisor": 1})

    assert ("gate", "half") == (second.run.failed_node, third.run.failed_node)
    rows = await platform.rows(
        "SELECT count(*) AS n FROM map_items JOIN maps USING (org_id, map_id) WHERE org_id = :o AND run_id = :r"
        " AND map_items.finished_at <= maps.opened_at AND map_items.state = 'committed'",
        o=org_id,
        r=third.run.run_id,
    )
    assert 0 == rows[0]["n"]


async def test_conditions_and_maps_over_what_is_taken_over_work_as_before(platform: Platform, org_id: str) -> None:
    document = dag(
        "facts",
        projection("source", {"texts": "inputs.texts", "go": "true"}),
        projection("skipped", {}, depends=["source"], when="!source.output.go"),
        projection("after", {"n": "size(source.output.texts)"}, depends=["source"], when="source.output.go"),
        large_map("each", "source.output.texts", {"text": "item"}, depends=["after"]),
        outputs={"each": "each.output.map(one, one.text)", "skipped": "skipped.status"},
    )
    first = succeeded(await platform.run(org_id, document, {"texts": ["a", "b"]}))

    second = succeeded(await rerun(platform, org_id, first.run.run_id, from_nodes=("after",)))

    assert {"source", "skipped"} == taken_over(second)
    assert first.outputs == second.outputs == {"each": ["a", "b"], "skipped": "skipped"}
    assert NodeState.SKIPPED == second.nodes[1].state


async def test_what_is_taken_over_stays_when_the_earlier_run_is_removed(platform: Platform, org_id: str) -> None:
    text = "x" * 900
    document = dag(
        "held",
        large_map("long", "inputs.numbers", {"text": f"'{text}'", "n": "item"}),
        projection("count", {"n": "size(long.output)"}, depends=["long"]),
        outputs={"n": "count.output.n"},
    )
    first = succeeded(await platform.run(org_id, document, {"numbers": list(range(1_500))}))

    second = succeeded(await rerun(platform, org_id, first.run.run_id, from_nodes=("count",)))

    before, after = [
        {
            row["digest"]
            for row in await platform.rows(
                "SELECT digest FROM blob_holds WHERE org_id = :o AND run_id = :r", o=org_id, r=run.run.run_id
            )
        }
        for run in (first, second)
    ]
    assert {"long"} == taken_over(second)
    # The index of the long list and its pages, and what the items were laid in.
    assert len(before) >= 5
    assert before < after


async def test_a_batched_map_takes_over_its_finished_items(platform: Platform, org_id: str) -> None:
    def document(tolerate: int) -> dict[str, Any]:
        half = large_map("half", "inputs.numbers", {"value": "100 / item"}, batch=10, tolerate={"count": tolerate})
        return dag("redriven", half, outputs={"halves": "half.output"})

    numbers = [0 if n == 33 else 1 for n in range(60)]
    first = await platform.run(org_id, document(0), {"numbers": numbers})
    finished = (
        await platform.rows("SELECT count(*) AS n FROM map_items WHERE org_id = :o AND state = 'committed'", o=org_id)
    )[0]["n"]

    second = await rerun(platform, org_id, first.run.run_id)

    assert (RunState.FAILED, RunState.FAILED) == (first.run.state, second.run.state)
    copied = await platform.rows(
        "SELECT count(*) AS n FROM map_items JOIN maps USING (org_id, map_id) WHERE org_id = :o AND run_id = :r"
        " AND map_items.finished_at <= maps.opened_at AND map_items.state = 'committed'",
        o=org_id,
        r=second.run.run_id,
    )
    assert finished == copied[0]["n"] > 0


@pytest.mark.parametrize("count", [40, 260], ids=["short", "large"])
async def test_items_that_were_tolerated_to_fail_run_again(
    platform: Platform, org_id: str, world: World, count: int
) -> None:
    names = [f"{org_id}-{number}" for number in range(count)]
    world.script[names[3]] = ["refused", "refused"]
    body = {"type": "tool", "config": {"tool_name": ACT, "tool_args": {"who": "{{ item }}", "class": "pure"}}}
    config = {"over": "inputs.names", "body": body, "tolerate": {"count": 1}, "window": 50}
    each = {"id": "each", "type": "map", "config": config, "retry": {"attempts": 1}}
    after = projection("after", {"n": "size(each.output)"}, depends=["each"])
    document = dag("tolerant", each, projection("beside", {}), after)
    first = succeeded(await platform.run(org_id, document, {"names": names}))

    with pytest.raises(RerunEmpty):
        await rerun(platform, org_id, first.run.run_id)
    again = succeeded(await rerun(platform, org_id, first.run.run_id, failed_items=True))
    between = succeeded(await rerun(platform, org_id, again.run.run_id, from_nodes=("beside",)))
    last = succeeded(await rerun(platform, org_id, between.run.run_id, failed_items=True))

    assert ({"beside"}, {"each", "after"}) == (taken_over(again), taken_over(between))
    assert (1, 0) == (again.nodes[0].items_failed, last.nodes[0].items_failed)
    # Each item was done once, and only the one that failed was tried again.
    assert [1] * count == [len(world.deeds[name]) for name in names]
    with pytest.raises(RerunEmpty):
        await rerun(platform, org_id, last.run.run_id, failed_items=True)


async def test_a_map_of_calls_pays_only_for_the_items_that_were_not_done(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Redrive {{ content }}")
    bad = function("bad", "result_merger", {"results": ["1", "'text'"]}, depends=["slow"])
    each = llm_map("each", "inputs.texts", window=1, policy={"cache": False})
    document = dag("half_done", each, llm("slow", "inputs.texts[0]", policy={"cache": False}), bad)
    platform.provider.hold_again()
    before = len(platform.provider.requests)
    platform.provider.script(Hold(), Hold())
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "half_done", {"texts": [f"text {n}" for n in range(230)]})
    await platform.provider.received(before + 2)
    platform.provider.release()
    first = await platform.ended(org_id, run_id)
    done = sum(step.key.node_id == "each" and step.output is not None for step in await platform.steps(org_id, run_id))
    calls = len(platform.provider.requests)
    mended = dag("half_done", each, llm("slow", "inputs.texts[0]", policy={"cache": False}), projection("bad", {}))

    second = succeeded(await rerun(platform, org_id, run_id, document=json.dumps(mended)))

    assert RunState.FAILED == first.run.state
    assert 230 - done == len(platform.provider.requests) - calls
    assert 0 < done < 230
    node = second.nodes[0]
    assert (230, 230, 0) == (node.items_total, node.items_done, node.items_failed)


async def test_a_run_is_run_again_once_for_each_key_and_only_when_it_has_ended(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Key {{ content }}")
    platform.provider.hold_again()
    before = len(platform.provider.requests)
    platform.provider.script(Hold())
    await platform.register(org_id, dag("keyed", llm("only", "inputs.text")))
    run_id = await platform.submit(org_id, "keyed", {"text": "one"})
    await platform.provider.received(before + 1)
    service = reruns(platform)
    request = RerunRequest(run_id=run_id, from_nodes=("only",), changes={}, idempotency_key="once")

    with pytest.raises(RunNotFinished):
        await service.rerun(org_id=org_id, request=request)
    platform.provider.release()
    await platform.ended(org_id, run_id)
    first, again = [(await service.rerun(org_id=org_id, request=request)).run for _ in range(2)]

    assert first.run_id == again.run_id
    await platform.ended(org_id, first.run_id)
    with pytest.raises(IdempotencyKeyReused):
        await service.rerun(
            org_id=org_id,
            request=RerunRequest(run_id=first.run_id, from_nodes=("only",), changes={}, idempotency_key="once"),
        )
    with pytest.raises(IdempotencyKeyReused):
        await service.rerun(
            org_id=org_id,
            request=RerunRequest(run_id=run_id, from_nodes=("only",), changes={"text": "two"}, idempotency_key="once"),
        )
    with pytest.raises(RunNotFound):
        await service.rerun(org_id="org_other", request=request)


def tool(node_id: str, who: str, **more: Any) -> Node:
    config = {"tool_name": ACT, "tool_args": {"who": who, "class": "pure"}}
    return {"id": node_id, "type": "tool", "config": config, "retry": {"attempts": 1}, **more}


async def test_what_is_final_runs_again_whenever_anything_does(platform: Platform, org_id: str, world: World) -> None:
    world.script[org_id] = ["refused"]
    tell = projection("tell", {"how": "run.status", "what": "act.status"})
    document = dag("told", projection("one", {}), tool("act", org_id), final=[tell], outputs={"told": "tell.output"})
    first = await platform.run(org_id, document)

    second = succeeded(await rerun(platform, org_id, first.run.run_id, failed_only=True))

    assert RunState.FAILED == first.run.state
    assert ({"one"}, {"told": {"how": "succeeded", "what": "succeeded"}}) == (taken_over(second), second.outputs)
    with pytest.raises(RerunEmpty):
        await rerun(platform, org_id, second.run.run_id)


async def test_what_was_taken_back_is_done_again(platform: Platform, org_id: str, world: World) -> None:
    back = {"type": "function", "config": {"function_name": "json_projection", "inputs": {}}}
    world.script[f"{org_id}-car"] = ["refused"]
    document = dag(
        "trip",
        projection("plan", {}),
        tool("flight", f"{org_id}-flight", depends=["plan"], compensate=back),
        tool("car", f"{org_id}-car", depends=["flight"]),
    )
    first = await platform.run(org_id, document)

    second = succeeded(await rerun(platform, org_id, first.run.run_id, failed_only=True))

    assert ("car", {"plan"}) == (first.run.failed_node, taken_over(second))
    assert 2 == len(world.deeds[f"{org_id}-flight"])


async def test_the_estimate_counts_what_runs_below_cost(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Below {{ content }}")
    inner = {"inputs": {"text": "inputs.text"}, "nodes": [llm("ask", "text")], "outputs": {"answer": "ask.output"}}
    document = dag("spending", {"id": "below", "type": "workflow", "config": inner})
    first = succeeded(await platform.run(org_id, document, {"text": "a question"}))

    plan = await reruns(platform).preview(
        org_id=org_id, request=RerunRequest(run_id=first.run.run_id, from_nodes=("below",), changes={})
    )

    assert first.run.cost_micro_usd == plan.estimated_cost_micro_usd > 0


async def test_what_only_a_skipped_node_leads_to_is_skipped_in_a_re_run_as_well(
    platform: Platform, org_id: str
) -> None:
    def document(text: str) -> dict[str, Any]:
        return dag(
            "arms",
            projection("off", {}, when="inputs.flag"),
            projection("behind", {"v": text}, depends=["off"]),
            projection("on", {"v": "1"}),
            projection("both", {"left": "behind.status", "right": "on.output.v"}, depends=["behind", "on"]),
            outputs={"both": "both.output"},
        )

    first = succeeded(await platform.run(org_id, document("'a'"), {"flag": False}))

    second = succeeded(
        await rerun(platform, org_id, first.run.run_id, from_nodes=("both",), document=json.dumps(document("'b'")))
    )

    assert {"both": {"left": "skipped", "right": 1}} == first.outputs == second.outputs
    assert first.nodes[1].state is second.nodes[1].state is NodeState.SKIPPED

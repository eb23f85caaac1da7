"""Nodes that stand as bodies of others: an agent for each item, a map for each item, and so on."""

from typing import Any

import pytest

from api.schemas.steps import step_detail_of
from runs.models import RunState, StepKey, StepState
from runs.plan import NodeState
from runs.run_view import NodeView
from tests.scripted_provider import Answer
from tests.workflows.agency import SAY, Agency, asks, says
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_looking_at_steps import attempts_of, failed_items, look, step_of
from tests.workflows.test_reruns import rerun, tool
from tests.workflows.world import World


def body(kind: str, **config: Any) -> dict[str, Any]:
    return {"type": kind, "config": config}


def over(node_id: str, source: str, what: dict[str, Any], *, kind: str = "map", **more: Any) -> Node:
    return {"id": node_id, "type": kind, "config": {"over": source, "body": what, **more.pop("config", {})}, **more}


def project(**inputs: str) -> dict[str, Any]:
    return body("function", function_name="json_projection", inputs=inputs)


async def test_an_agent_answers_for_each_item(agency: Agency) -> None:
    await agency.platform.prompt(agency.org_id, "ask", "{{ content }}")
    agency.platform.provider.script(asks(("tests_say", {"text": "hm"})), says("one"), says("two"))
    asking = body("agent", prompt_ref="ask@1", inputs={"content": "item + tone"}, tools=[SAY])
    document = dag(
        "each", over("each", "inputs.topics", asking, config={"window": 1}), outputs={"answers": "each.output"}
    )

    view = succeeded(await agency.platform.run(agency.org_id, document, {"topics": ["a", "b"], "tone": "!"}))

    assert {"answers": ["one", "two"]} == view.outputs
    asked = [request["messages"][0]["content"] for request in agency.bodies]
    assert ["a!", "a!", "b!"] == asked
    below = await agency.platform.service.list_runs(
        org_id=agency.org_id, before=None, limit=9, workflow_name=None, state=None, parent_run_id=view.run.run_id
    )
    turns = [
        [part for part, _, _ in await agency.parts(run.run_id) if part is not None and part.startswith("turn:")]
        for run in below
    ]
    assert [1, 2] == sorted(map(len, turns))


async def test_a_map_in_a_map_gives_lists_of_lists(platform: Platform, org_id: str) -> None:
    inner = body("map", over="item.parts", max_items=10, body=project(part="item", at="index", of="inputs.name"))
    document = dag("nested", over("each", "inputs.groups", inner), outputs={"all": "each.output"})

    inputs = {"groups": [{"parts": ["a", "b"]}, {"parts": []}, {"parts": ["c"]}], "name": "x"}
    view = succeeded(await platform.run(org_id, document, inputs))

    rows = [[("a", 0), ("b", 1)], [], [("c", 0)]]
    assert {"all": [[{"part": part, "at": at, "of": "x"} for part, at in row] for row in rows]} == view.outputs


async def test_a_loop_of_a_race_sees_what_the_last_one_gave(platform: Platform, org_id: str) -> None:
    race = body("race", branches={"a": project(n="last == null ? 1 : last.n + step.output.by")})
    race["config"]["branches"]["b"] = {**project(n="0"), "after": "10m"}
    loop = {"id": "again", "type": "loop", "config": {"max_iterations": 9, "until": "last.n > 6", "body": race}}
    first = {"id": "step", "type": "function", "config": {"function_name": "json_projection", "inputs": {"by": "3"}}}
    document = dag("again", first, loop, outputs={"n": "again.output.n"})

    assert {"n": 7} == succeeded(await platform.run(org_id, document)).outputs


async def test_an_input_that_a_run_was_not_given_is_not_there_in_the_body_either(
    platform: Platform, org_id: str
) -> None:
    inner = body("map", over="item", max_items=10, body=project(tone="has(inputs.tone) ? inputs.tone : 'plain'"))
    schema = {"type": "object", "properties": {"lists": {"type": "array"}, "tone": {"type": "string"}}}
    document = dag("tones", over("each", "inputs.lists", inner), outputs={"all": "each.output"}, inputs=schema)

    plain = succeeded(await platform.run(org_id, document, {"lists": [[1]]}))
    warm = succeeded(await platform.run(org_id, {**document, "name": "warm"}, {"lists": [[1]], "tone": "warm"}))

    assert [[[{"tone": "plain"}]], [[{"tone": "warm"}]]] == [(view.outputs or {})["all"] for view in (plain, warm)]


async def test_of_what_failed_in_a_body_only_that_is_done_again(platform: Platform, org_id: str, world: World) -> None:
    names = [f"{org_id}-{letter}" for letter in "abc"]
    world.script[names[2]] = ["refused"]
    acting = tool("act", "{{ item }}")
    inner = body("map", over="item", max_items=10, body={"type": "tool", "config": acting["config"]})
    document = dag("redo", over("each", "inputs.lists", inner, config={"window": 1}), outputs={"all": "each.output"})
    document["nodes"][0]["retry"] = {"attempts": 1}

    first = await platform.run(org_id, document, {"lists": [names[:1], names[1:]]})
    second = succeeded(await rerun(platform, org_id, first.run.run_id, failed_only=True))

    assert (RunState.FAILED, "tool.failed") == (first.run.state, first.run.error_code)
    assert [1, 1, 1] == [len(world.deeds[name]) for name in names]
    assert {"all": [[{"deeds": 1}], [{"deeds": 1}, {"deeds": 1}]]} == second.outputs


async def test_an_item_whose_run_failed_is_a_failed_step_that_names_its_run(agency: Agency) -> None:
    platform, org_id = agency.platform, agency.org_id
    await platform.prompt(org_id, "ask", "{{ content }}")
    platform.provider.script(says("one"), Answer(text="half", stop_reason="length"), says("three"))
    asking = body("agent", prompt_ref="ask@1", inputs={"content": "item"})
    each = over("each", "inputs.topics", asking, config={"window": 1, "tolerate": {"count": 1}})
    after = {"id": "after", "type": "wait", "depends": ["each"], "config": {"event": "go"}}
    await platform.register(org_id, dag("some", each, after))
    run_id = await platform.submit(org_id, "some", {"topics": ["a", "b", "c"]})

    async def gathered() -> NodeView | None:
        node = (await platform.service.get_run(org_id=org_id, run_id=run_id)).nodes[0]
        return node if node.state is NodeState.SUCCEEDED else None

    node = await until(gathered, "the map to be told as done while the run goes on")

    assert ("map", "agent") == (node.type, node.kind)
    assert (3, 3, 1, "answer.cut", 1) == (
        node.items_total, node.items_done, node.items_failed, node.error_code, node.error_item
    )  # fmt: skip
    assert [(1, "answer.cut")] == await failed_items(platform, org_id, run_id, "each")
    failed = await look(platform, org_id, run_id, "each", item=1)
    assert (StepState.FAILED, "workflow") == (step_of(failed).state, step_of(failed).kind)
    key = StepKey(org_id=org_id, run_id=run_id, node_id="each", item_index=1)
    below = step_detail_of(key, failed).step
    assert below is not None
    assert below.run_below is not None
    view = await platform.service.get_run(org_id=org_id, run_id=below.run_below)
    assert RunState.FAILED == view.run.state
    [attempt] = attempts_of(await look(platform, org_id, below.run_below, "each", part="turn:0"))
    assert "b" == attempt["messages"][0]["text"]


async def test_what_is_tokenised_below_is_counted_above(agency: Agency) -> None:
    await agency.platform.prompt(agency.org_id, "ask", "{{ content }}")
    agency.platform.provider.script(says("one"))
    asking = body("agent", prompt_ref="ask@1", inputs={"content": "item"})
    document = dag("private", over("each", "inputs.topics", asking))

    view = succeeded(await agency.platform.run(agency.org_id, document, {"topics": ["of ada@example.org"]}))

    assert {"EMAIL": 1} == view.pii


@pytest.mark.parametrize("kind", ["skipped", "failed", "succeeded"])
async def test_a_body_asks_of_a_node_what_there_is_of_it(platform: Platform, org_id: str, kind: str) -> None:
    asked = projection("x", {"v": "inputs.nothing.at.all" if kind == "failed" else "1"}, on_error="continue")
    asked |= {"when": "false"} if kind == "skipped" else {}
    how = "has(x.finish_reason) ? x.finish_reason : x.status"
    inner = body("map", over="item", max_items=9, body=project(how=how, error="x.error == null", v="x.output"))
    each = over("each", "inputs.lists", inner, depends="x.succeeded || x.failed || x.skipped")

    view = succeeded(
        await platform.run(
            org_id, dag("how", asked, each, outputs={"all": "each.output"}), {"lists": [[1]], "nothing": {}}
        )
    )

    how_it_is = "stop" if kind == "succeeded" else kind
    output = {"v": 1} if kind == "succeeded" else None
    assert {"all": [[{"how": how_it_is, "error": kind != "failed", "v": output}]]} == view.outputs


@pytest.mark.parametrize("items", [2, 9, 250])
async def test_maps_of_finally_see_how_the_run_ended(platform: Platform, org_id: str, items: int) -> None:
    inner = body("map", over="item", max_items=9, body=project(how="run.status"))
    last = [
        over("plain", "inputs.few", project(how="run.status")),
        over("wide", "inputs.many", project(how="run.status", at="index"), config={"batch": 1}),
        over("nested", "inputs.lists", inner),
    ]
    document = dag("ends", projection("only", {"v": "1"}), final=last)
    inputs = {"few": [1, 2], "many": list(range(items)), "lists": [[1], [2]]}

    view = await platform.run(org_id, document, inputs)

    assert RunState.SUCCEEDED == view.run.state, view.run.error_message
    assert [2, items, 2] == [node.items_done for node in view.nodes[1:]]


async def test_a_loop_may_be_called_like_what_its_body_sees(platform: Platform, org_id: str) -> None:
    inner = body("race", branches={"a": project(n="last == null ? 1 : last.n + 1"), "b": {**project(), "after": "10m"}})
    loop = {"id": "last", "type": "loop", "config": {"max_iterations": 3, "body": inner}}

    view = succeeded(await platform.run(org_id, dag("named", loop, outputs={"n": "last.output.n"})))

    assert {"n": 3} == view.outputs

"""What happened at a step can be looked at afterwards, of every kind of step, whether it failed or not."""

import json
from typing import Any

import pytest

from activities.map_payloads import MAX_INLINE_ITEMS
from runs.errors import RunNotFound, StepNotFound
from runs.models import RunState, StepKey, StepState
from runs.node_step_repository import NodeStep
from tests.scripted_provider import Answer, Fail
from tests.workflows.agency import asks, says
from tests.workflows.documents import QUICK_RETRY, agent, dag, large_map, llm, llm_map
from tests.workflows.platform import Platform, succeeded
from tests.workflows.test_reruns import rerun
from tests.workflows.world import ACT, World
from workflows.step_service import StepReport, StepService


def steps_of(platform: Platform) -> StepService:
    return StepService(platform.resources.database, platform.resources.blobs)


async def look(
    platform: Platform, org_id: str, run_id: str, node_id: str, *, item: int | None = None, part: str | None = None
) -> StepReport:
    key = StepKey(org_id=org_id, run_id=run_id, node_id=node_id, item_index=item, part=part)
    return await steps_of(platform).read(key, attempts=20)


def attempts_of(report: StepReport) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = json.loads(report.attempts)
    return attempts


def step_of(report: StepReport) -> NodeStep:
    assert report.step is not None
    return report.step


async def failed_items(
    platform: Platform, org_id: str, run_id: str, node_id: str
) -> list[tuple[int | None, str | None]]:
    key = StepKey(org_id=org_id, run_id=run_id, node_id=node_id)
    found = await steps_of(platform).page(key, state=StepState.FAILED, after=None, limit=50)
    return [(step.item_index, step.error_code) for step in found]


async def test_a_failed_llm_step_shows_each_attempt_with_its_prompt_and_answer(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Tell me of {{ content }}")
    platform.provider.script(Fail(status=500), Answer(text="The report says that", stop_reason="length"))

    run = await platform.run(org_id, dag("cut", llm("ask", "'storms'", retry=QUICK_RETRY)))

    report = await look(platform, org_id, run.run.run_id, "ask")
    last, first = attempts_of(report)
    assert (StepState.FAILED, "answer.cut", 2) == (
        step_of(report).state,
        step_of(report).error_code,
        step_of(report).attempt,
    )
    assert [{"role": "user", "text": "Tell me of storms"}] == first["messages"] == last["messages"]
    assert ([], "error") == (first["answers"], first["status"])
    assert ("The report says that", "length") == (last["answers"][0]["text"], last["answers"][0]["finish_reason"])
    decision = step_of(report).usage.decision
    assert "openai/scripted-1" in {candidate["model"] for candidate in decision["candidates"]}
    assert {"reason", "excluded", "tier"} <= set(decision)


async def test_a_failed_tool_step_shows_its_arguments_and_why(platform: Platform, world: World, org_id: str) -> None:
    world.script["ada"] = ["refused"]
    arguments = {"who": "ada", "class": "pure"}
    node = {"id": "act", "type": "tool", "config": {"tool_name": ACT, "tool_args": arguments}, "retry": {"attempts": 1}}

    run = await platform.run(org_id, dag("refused", node))

    report = await look(platform, org_id, run.run.run_id, "act")
    (attempt,) = attempts_of(report)
    assert arguments == attempt["arguments"]
    assert "nothing was done" in attempt["error"]["message"]
    assert (StepState.FAILED, None) == (step_of(report).state, report.output)


async def test_an_agents_turns_and_calls_are_its_parts(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Do {{ content }}")
    wish = {"who": "bob", "class": "pure"}
    platform.provider.script(asks(("world_act", wish)), says("Done."))

    run = succeeded(await platform.run(org_id, dag("acting", agent("bot", "'it'", ACT))))

    report = await look(platform, org_id, run.run.run_id, "bot")
    assert ["turn:0", "call:0.0", "turn:1"] == [part.part for part in report.parts]
    call = await look(platform, org_id, run.run.run_id, "bot", part="call:0.0")
    assert wish == attempts_of(call)[0]["arguments"]
    turn = await look(platform, org_id, run.run.run_id, "bot", part="turn:0")
    assert turn.output is not None
    assert "world_act" in turn.output.decode()


async def test_the_items_of_a_map_are_looked_at_one_by_one_and_those_that_failed_are_listed(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "{{ content }}")
    answers = [Answer(text="fine"), Answer(text="half", stop_reason="length"), Answer(text="", stop_reason="length")]
    platform.provider.script(*answers)
    node = llm_map("each", "inputs.texts", window=1)
    node["config"]["tolerate"] = {"count": 2}

    run = succeeded(await platform.run(org_id, dag("tolerant", node), {"texts": ["a", "b", "c"]}))

    assert [(1, "answer.cut"), (2, "answer.cut")] == await failed_items(platform, org_id, run.run.run_id, "each")
    item = await look(platform, org_id, run.run.run_id, "each", item=1)
    assert "half" == attempts_of(item)[0]["answers"][0]["text"]
    assert [{"role": "user", "text": "b"}] == attempts_of(item)[0]["messages"]
    whole = await look(platform, org_id, run.run.run_id, "each")
    assert (None, [0, 1, 2]) == (whole.step, [part.item_index for part in whole.parts])


@pytest.mark.parametrize("tolerated", [2, 0])
async def test_batched_items_that_failed_are_listed_and_looked_at(
    platform: Platform, org_id: str, tolerated: int
) -> None:
    node = large_map("each", "inputs.numbers", {"v": "100 / item"}, batch=10, tolerate={"count": tolerated})

    run = await platform.run(
        org_id, dag(f"batched-{tolerated}", node), {"numbers": [1, 0, 2, 0, *[4] * MAX_INLINE_ITEMS]}
    )

    assert (RunState.SUCCEEDED if tolerated else RunState.FAILED) == run.run.state
    failed = await failed_items(platform, org_id, run.run.run_id, "each")
    assert [1, 3] == [index for index, _ in failed]
    item = step_of(await look(platform, org_id, run.run.run_id, "each", item=3))
    assert (StepState.FAILED, failed[1][1], 3) == (item.state, item.error_code, item.item_index)
    assert item.error_message
    good = await look(platform, org_id, run.run.run_id, "each", item=2)
    assert good.output is not None
    assert {"v": 50} == json.loads(good.output)
    assert [] == attempts_of(good)


async def test_a_page_of_steps_goes_on_where_the_last_one_ended(platform: Platform, org_id: str) -> None:
    node = large_map("each", "inputs.numbers", {"v": "100 / item"}, batch=10, tolerate={"count": 9})
    run = await platform.run(org_id, dag("paged", node), {"numbers": [0] * 7 + [1] * MAX_INLINE_ITEMS})
    key = StepKey(org_id=org_id, run_id=run.run.run_id, node_id="each")

    found: list[int | None] = []
    after = None
    while page := await steps_of(platform).page(key, state=StepState.FAILED, after=after, limit=3):
        found += [step.item_index for step in page]
        after = page[-1].where

    assert list(range(7)) == found


async def test_what_is_not_there_is_told_and_other_organisations_see_nothing(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Say {{ content }}")
    platform.provider.script(Answer(text="yes"))
    run = succeeded(await platform.run(org_id, dag("known", llm("ask", "'it'"))))
    run_id = run.run.run_id

    for missing in ({"node_id": "other"}, {"node_id": "ask", "item": 0}, {"node_id": "ask", "part": "turn:0"}):
        with pytest.raises(StepNotFound):
            await look(platform, org_id, run_id, **missing)
    with pytest.raises(StepNotFound):
        await failed_items(platform, org_id, run_id, "other")
    assert [] == await failed_items(platform, org_id, run_id, "ask")
    with pytest.raises(RunNotFound):
        await look(platform, f"{org_id}-other", run_id, "ask")
    with pytest.raises(RunNotFound):
        await failed_items(platform, f"{org_id}-other", run_id, "ask")


async def test_a_node_that_was_taken_over_names_the_run_that_did_it(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Taken {{ content }}")
    platform.provider.script(Answer(text="one"), Answer(text="two"), Answer(text="three"))
    document = dag("again", llm("a", "'1'"), llm("b", "a.output"), outputs={"text": "b.output"})
    first = succeeded(await platform.run(org_id, document))

    second = succeeded(await rerun(platform, org_id, first.run.run_id, from_nodes=("b",)))

    for attempt in (
        look(platform, org_id, second.run.run_id, "a"),
        failed_items(platform, org_id, second.run.run_id, "a"),
    ):
        with pytest.raises(StepNotFound, match=first.run.run_id):
            await attempt


@pytest.mark.parametrize(("tolerated", "batch"), [(2, 10), (0, 10), (2, 1), (0, 1)])
async def test_a_map_names_the_first_of_its_failed_items(
    platform: Platform, org_id: str, tolerated: int, batch: int
) -> None:
    node = large_map(
        "each", "inputs.numbers", {"v": "100 / item"}, batch=batch, window=1, tolerate={"count": tolerated}
    )

    run = await platform.run(
        org_id, dag(f"first-{tolerated}-{batch}", node), {"numbers": [1, 2, 0, 0, *[4] * MAX_INLINE_ITEMS]}
    )

    (seen,) = run.nodes
    assert (2, "expression.failed") == (seen.error_item, seen.error_code)
    assert "zero" in (seen.error_message or "")
    assert seen.items_failed == (2 if tolerated or batch > 1 else 1)


async def test_items_of_which_nothing_is_recorded_are_counted_and_listed_as_failed(
    platform: Platform, org_id: str
) -> None:
    # No worker serves the queue of tools so fast: each step runs out of its time in the queue.
    body = {"type": "tool", "config": {"tool_name": "s3.fetch", "tool_args": {"bucket": "nope", "key": "{{ item }}"}}}
    config = {"over": "inputs.keys", "body": body, "window": 100, "tolerate": {"percent": 100}}
    each = {"id": "each", "type": "map", "config": config, "timeout": {"queue": 0.001}, "retry": {"attempts": 1}}
    count = MAX_INLINE_ITEMS + 1

    run = succeeded(await platform.run(org_id, dag("unrecorded", each), {"keys": [f"key {n}" for n in range(count)]}))

    assert (count, count) == (run.nodes[0].items_done, run.nodes[0].items_failed)
    key = StepKey(org_id=org_id, run_id=run.run.run_id, node_id="each")
    found = await steps_of(platform).page(key, state=StepState.FAILED, after=None, limit=count + 1)
    assert list(range(count)) == [step.item_index for step in found]
    rest = await steps_of(platform).page(key, state=StepState.FAILED, after=found[-3].where, limit=count)
    assert [count - 2, count - 1] == [step.item_index for step in rest]

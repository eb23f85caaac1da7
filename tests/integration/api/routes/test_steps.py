import httpx

from activities.map_payloads import MAX_INLINE_ITEMS
from tests.integration.api.documents import ended, register_talk, submit, whole_list
from tests.integration.api.problems import problem_of
from tests.scripted_provider import Answer
from tests.workflows.documents import dag, large_map
from tests.workflows.platform import Platform

RUNS = "/api/v1/workflows/runs"


async def test_a_failed_step_is_looked_at_with_its_prompt_its_answer_and_its_routing(
    api: httpx.AsyncClient, platform: Platform
) -> None:
    await register_talk(api)
    platform.provider.script(Answer(text="It is about", stop_reason="length"))
    run = await ended(api, (await submit(api, "talk", topic="the sea"))["run_id"])

    answer = await api.get(f"{RUNS}/{run['run_id']}/nodes/say/step")

    assert 200 == answer.status_code, answer.text
    found = answer.json()
    assert ("failed", "answer.cut") == (found["step"]["state"], found["step"]["error"]["code"])
    [attempt] = found["attempts"]
    assert "Say something of the sea" == attempt["messages"][0]["text"]
    assert ("It is about", "length") == (attempt["answers"][0]["text"], attempt["answers"][0]["finish_reason"])
    assert {"reason", "candidates", "excluded"} <= set(found["step"]["decision"])
    assert (None, [], None) == (found["output"], found["parts"], found["next_cursor"])


async def test_a_long_prompt_comes_whole(api: httpx.AsyncClient, platform: Platform) -> None:
    await register_talk(api)
    platform.provider.script(Answer(text="brief"))
    run = await ended(api, (await submit(api, "talk", topic="word " * 15_000))["run_id"])

    found = (await api.get(f"{RUNS}/{run['run_id']}/nodes/say/step")).json()

    assert 75_000 < len(found["attempts"][0]["messages"][0]["text"])
    assert "brief" == found["attempts"][0]["answers"][0]["text"] == found["output"]


async def test_the_failed_items_of_a_batched_map_come_in_pages(api: httpx.AsyncClient) -> None:
    each = large_map("each", "inputs.numbers", {"v": "100 / item"}, batch=10, tolerate={"percent": 50})
    assert 201 == (await api.post("/api/v1/workflows", json=dag("tolerant", each))).status_code
    numbers = [0, 1] * 5 + [1] * MAX_INLINE_ITEMS
    run = await ended(api, (await submit(api, "tolerant", numbers=numbers))["run_id"])
    path = f"{RUNS}/{run['run_id']}/nodes/each/steps"

    items, sizes = await whole_list(api, path, limit=2, state="failed")
    others, _ = await whole_list(api, path, limit=200, state="committed")

    assert ([0, 2, 4, 6, 8], [2, 2, 1]) == ([item["item_index"] for item in items], sizes)
    assert {"expression.failed"} == {item["error"]["code"] for item in items}
    assert len(numbers) - 5 == len(others)


async def test_steps_of_others_and_those_that_there_are_not_are_not_found(
    api: httpx.AsyncClient, stranger_api: httpx.AsyncClient
) -> None:
    await register_talk(api)
    run = await ended(api, (await submit(api, "talk", topic="x"))["run_id"])
    path = f"{RUNS}/{run['run_id']}/nodes/say"

    problem_of(await stranger_api.get(f"{path}/step"), status=404, code="run.not_found")
    problem_of(await stranger_api.get(f"{path}/steps"), status=404, code="run.not_found")
    problem_of(await api.get(f"{path}/step", params={"item": 3}), status=404, code="step.not_found")
    problem_of(await api.get(f"{path}x/steps"), status=404, code="step.not_found")
    for cursor in ("MTp4", "MTowfDIwMjYtMDEtMDF8eA"):
        refused = await api.get(f"{path}/steps", params={"cursor": cursor})
        problem_of(refused, status=400, code="page.cursor_invalid")

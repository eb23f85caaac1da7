import json

import httpx

from tests.integration.api.documents import echo_document, ended, register_echo, submit
from tests.integration.api.problems import problem_of

RUNS = "/api/v1/workflows/runs"


async def test_a_finished_run_is_previewed_and_run_again_with_another_input(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    first = await ended(api, (await submit(api, value=1))["run_id"])
    wish = {"changes": {"value": 2}}

    preview = await api.post(f"{RUNS}/{first['run_id']}/rerun/preview", json=wish)
    started = await api.post(f"{RUNS}/{first['run_id']}/rerun", json=wish)
    second = await ended(api, started.json()["run_id"])

    [node] = preview.json()["nodes"]
    assert (200, False, "input 'value' has changed") == (preview.status_code, node["reused"], node["reason"])
    assert (201, f"{RUNS}/{second['run_id']}") == (started.status_code, started.headers["location"])
    assert ({"value": 2}, first["run_id"]) == (second["outputs"], second["rerun_of"])


async def test_the_graph_of_a_run_is_that_of_the_document_it_runs(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    first = await ended(api, (await submit(api, value=1))["run_id"])
    document = echo_document()
    document["nodes"][0]["id"] = "tell"
    document["outputs"] = {}

    edited = (await api.post(f"{RUNS}/{first['run_id']}/rerun", json={"document": json.dumps(document)})).json()

    graphs = [(await api.get(f"{RUNS}/{run['run_id']}/graph")).json() for run in (first, edited)]
    assert [["show"], ["tell"]] == [[node["id"] for node in graph["nodes"]] for graph in graphs]
    problem_of(await api.get(f"{RUNS}/run_0/graph"), status=404, code="run.not_found")


async def test_one_key_repeats_a_run_once(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    first = await ended(api, (await submit(api, value=1))["run_id"])
    headers = {"Idempotency-Key": "again"}

    answers = [
        await api.post(f"{RUNS}/{first['run_id']}/rerun", json={"from_nodes": ["show"]}, headers=headers)
        for _ in range(2)
    ]

    assert 1 == len({answer.json()["run_id"] for answer in answers})


async def test_what_cannot_be_run_again_is_refused_with_the_reason(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    run_id = (await ended(api, (await submit(api, value=1))["run_id"]))["run_id"]

    nothing = await api.post(f"{RUNS}/{run_id}/rerun", json={})
    unknown = await api.post(f"{RUNS}/{run_id}/rerun", json={"from_nodes": ["nope"]})
    broken = await api.post(f"{RUNS}/{run_id}/rerun", json={"document": "name: x"})
    missing = await api.post(f"{RUNS}/run_0/rerun", json={})

    problem_of(nothing, status=409, code="rerun.nothing_to_do")
    problem_of(unknown, status=422, code="rerun.invalid")
    problem_of(broken, status=422, code="spec.invalid")
    problem_of(missing, status=404, code="run.not_found")


async def test_another_organisations_run_cannot_be_run_again(
    api: httpx.AsyncClient, stranger_api: httpx.AsyncClient
) -> None:
    await register_echo(api)
    run_id = (await ended(api, (await submit(api, value=1))["run_id"]))["run_id"]

    for path in ("rerun", "rerun/preview"):
        answer = await stranger_api.post(f"{RUNS}/{run_id}/{path}", json={"document": str(echo_document())})
        assert 404 == answer.status_code

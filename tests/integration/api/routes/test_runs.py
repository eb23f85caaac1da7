import asyncio
from datetime import datetime

import httpx
import pytest

from tests.integration.api.documents import (
    CONTENT_SCHEMA,
    complete_trace,
    ended,
    register_echo,
    register_talk,
    submit,
)
from tests.integration.api.problems import problem_of
from tests.scripted_provider import Hold, Malformed
from tests.specification_document import DOCUMENT_ANALYSIS
from tests.workflows.platform import Platform

RUNS = "/api/v1/workflows/runs"


async def test_the_specifications_workflow_is_registered_submitted_and_run(
    api: httpx.AsyncClient, platform: Platform
) -> None:
    for template in ("One {{content}}", "Two {{content}}", "Analyze: {{content}}"):
        body = {"name": "document_analyzer", "template": template, "schema": CONTENT_SCHEMA}
        assert 201 == (await api.post("/api/v1/prompts", json=body)).status_code
    registered = await api.post(
        "/api/v1/workflows", content=DOCUMENT_ANALYSIS, headers={"Content-Type": "application/yaml"}
    )

    submitted = await api.post(
        RUNS,
        json={
            "workflow_name": "document_analysis",
            "workflow_version": 1,
            "inputs": {"document_key": "sample.txt"},
            "budget_cents": 1000,
        },
    )
    run = await ended(api, submitted.json()["run_id"])

    assert (201, DOCUMENT_ANALYSIS) == (registered.status_code, registered.json()["document"])
    assert (201, f"{RUNS}/{run['run_id']}") == (submitted.status_code, submitted.headers["location"])
    assert "succeeded" == run["state"], run
    assert {"ingest": "succeeded", "analyze": "succeeded"} == {node["id"]: node["state"] for node in run["nodes"]}
    assert [["scripted-1"], {"EMAIL": 1, "PHONE": 1}] == [run["nodes"][1]["models"], run["pii"]]
    prompt = str(platform.provider.requests[-1].body)
    assert "Analyze: " in prompt
    assert "ada@example.com" not in prompt


async def test_a_run_tells_what_it_did_and_what_it_cost(api: httpx.AsyncClient) -> None:
    await register_talk(api)
    body = {"workflow_name": "talk", "inputs": {"topic": "write to ada@example.com"}, "budget_cents": 500}

    run = await ended(api, (await api.post(RUNS, json=body)).json()["run_id"])

    [node] = run["nodes"]
    given = (await api.get(f"{RUNS}/{run['run_id']}/nodes/{node['id']}/output")).json()
    assert (node["id"], None, 0) == (given["node_id"], given["item_count"], given["first"])
    assert isinstance(given["output"], str)
    problem_of(await api.get(f"{RUNS}/{run['run_id']}/nodes/none/output"), status=404, code="node.output_not_found")
    assert ("talk", 1, 500, None) == (run["workflow_name"], run["workflow_version"], run["budget_cents"], run["error"])
    assert {"topic": "write to ada@example.com"} == run["inputs"]
    assert ("say", "llm", "succeeded", 1, 0) == tuple(
        node[name] for name in ("id", "type", "state", "attempts", "cache_hits")
    )
    assert ["scripted-1"] == node["models"]
    assert {"EMAIL": 1} == run["pii"] == node["pii"]
    # The platform's one model costs 1 micro-USD for each input token and 2 for each output token.
    assert run["input_tokens"] + 2 * run["output_tokens"] == run["cost_micro_usd"] == node["cost_micro_usd"] > 0
    assert 1 == run["cost_cents"]
    instants = [datetime.fromisoformat(run[name]) for name in ("created_at", "started_at", "finished_at")]
    assert sorted(instants) == instants
    assert all(instant.tzinfo is not None for instant in instants)
    assert run["temporal_ui_url"].endswith(f"/namespaces/default/workflows/{run['run_id']}")
    trace = (await api.get(f"/api/v1/traces/{run['run_id']}")).json()
    assert run["trace_id"] == trace["trace_id"]


async def test_the_trace_of_a_run_adds_up_to_what_the_run_cost(api: httpx.AsyncClient) -> None:
    await register_talk(api)
    run = await ended(api, (await submit(api, "talk", topic="figures"))["run_id"])

    trace = await complete_trace(api, run["run_id"])

    assert run["cost_micro_usd"] == trace["totals"]["cost_micro_usd"]
    assert trace["totals"]["span_count"] == len(trace["spans"])
    seen: set[str | None] = {None}
    for span in trace["spans"]:
        assert span["parent_span_id"] in seen
        seen.add(span["span_id"])


async def test_a_run_is_cancelled_once_and_stops(api: httpx.AsyncClient, platform: Platform) -> None:
    await register_talk(api)
    calls = len(platform.provider.requests)
    platform.provider.script(Hold())
    run_id = (await submit(api, "talk", topic="a long story"))["run_id"]
    await platform.provider.received(calls + 1)

    cancelled = await api.post(f"{RUNS}/{run_id}/cancel")
    run = await ended(api, run_id)
    again = await api.post(f"{RUNS}/{run_id}/cancel")

    assert 202 == cancelled.status_code
    assert cancelled.json()["cancel_requested_at"] is not None
    assert ("cancelled", None) == (run["state"], run["outputs"])
    problem_of(again, status=409, code="run.already_finished")


async def test_one_idempotency_key_gives_one_run(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    body = {"workflow_name": "echo", "inputs": {"value": 1}}

    answers = await asyncio.gather(
        *(api.post(RUNS, json=body, headers={"Idempotency-Key": "order-7"}) for _ in range(8))
    )
    late = await api.post(RUNS, json=body, headers={"Idempotency-Key": "order-7"})

    assert [200] * 7 + [201] == sorted(answer.status_code for answer in answers)
    assert 200 == late.status_code
    assert 1 == len({answer.json()["run_id"] for answer in [*answers, late]})
    assert 1 == len((await api.get(RUNS)).json()["items"])


async def test_a_request_for_the_latest_version_is_the_same_after_a_later_one_was_registered(
    api: httpx.AsyncClient,
) -> None:
    await register_echo(api, version=1)
    body, key = {"workflow_name": "echo", "inputs": {"value": 1}}, {"Idempotency-Key": "order-9"}
    first = await api.post(RUNS, json=body, headers=key)
    await register_echo(api, version=2)

    again = await api.post(RUNS, json=body, headers=key)

    assert (201, 200) == (first.status_code, again.status_code)
    assert first.json()["run_id"] == again.json()["run_id"]


@pytest.mark.parametrize("change", [{"inputs": {"value": 2}}, {"budget_cents": 7}, {"workflow_version": 2}])
async def test_an_idempotency_key_is_not_for_another_body(api: httpx.AsyncClient, change: dict[str, object]) -> None:
    for version in (2, 1):
        await register_echo(api, version=version)
    body = {"workflow_name": "echo", "workflow_version": 1, "inputs": {"value": 1}}
    key = {"Idempotency-Key": "order-8"}
    assert 201 == (await api.post(RUNS, json=body, headers=key)).status_code

    answer = await api.post(RUNS, json=body | change, headers=key)

    problem_of(answer, status=409, code="run.idempotency_key_reused")
    assert 1 == len((await api.get(RUNS)).json()["items"])


async def test_a_key_of_another_organisation_starts_a_run_of_its_own(
    api: httpx.AsyncClient, stranger_api: httpx.AsyncClient
) -> None:
    body, key = {"workflow_name": "echo", "inputs": {"value": 1}}, {"Idempotency-Key": "order-9"}
    for one in (api, stranger_api):
        await register_echo(one)

    answers = [await one.post(RUNS, json=body, headers=key) for one in (api, stranger_api)]

    assert [201, 201] == [answer.status_code for answer in answers]
    assert 2 == len({answer.json()["run_id"] for answer in answers})


@pytest.mark.parametrize("body", [{"workflow_name": "absent"}, {"workflow_name": "echo", "workflow_version": 9}])
async def test_a_workflow_that_is_not_there_cannot_be_run(api: httpx.AsyncClient, body: dict[str, object]) -> None:
    await register_echo(api)

    problem_of(await api.post(RUNS, json=body), status=404, code="workflow.not_found")


async def test_inputs_that_the_workflow_refuses_are_named_by_their_path(api: httpx.AsyncClient) -> None:
    await register_echo(api)

    answer = await api.post(RUNS, json={"workflow_name": "echo", "inputs": {}})

    [detail] = problem_of(answer, status=422, code="run.inputs_invalid")["errors"]
    assert "$" == detail["path"]
    assert "value" in detail["message"]
    assert [] == (await api.get(RUNS)).json()["items"]


async def test_runs_are_listed_latest_first_by_workflow_and_by_state(api: httpx.AsyncClient) -> None:
    for name in ("echo", "other"):
        await register_echo(api, name)
    run_ids = [(await submit(api, name, value=1))["run_id"] for name in ("echo", "other", "echo")]
    for run_id in run_ids:
        await ended(api, run_id)

    async def listed(**wanted: str) -> list[str]:
        return [run["run_id"] for run in (await api.get(RUNS, params=wanted)).json()["items"]]

    assert run_ids[::-1] == await listed()
    assert [run_ids[2], run_ids[0]] == await listed(workflow_name="echo")
    assert run_ids[::-1] == await listed(state="succeeded")
    assert [] == await listed(state="failed")


async def test_a_run_whose_model_wrote_half_a_character_can_be_looked_at(
    api: httpx.AsyncClient, platform: Platform
) -> None:
    await register_talk(api)
    message = rb'{"role":"assistant","content":"half \ud83d of it"}'
    answer = (
        rb'{"id":"1","object":"chat.completion","created":1,"model":"scripted-1","choices":[{"index":0,"message":'
        + (message + rb',"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}')
    )
    platform.provider.script(Malformed(body=answer))

    run = await ended(api, (await submit(api, "talk", topic="an emoji that is cut"))["run_id"])

    assert "succeeded" == run["state"], run
    assert run["outputs"]["said"].startswith("half ")
    assert run["outputs"]["said"].endswith(" of it")


async def test_a_parameter_that_is_given_twice_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get(RUNS, params=[("state", "failed"), ("state", "succeeded")])

    assert "'state'" in problem_of(answer, status=422, code="request.parameter_repeated")["detail"]


async def test_what_is_left_out_has_the_defaults_of_the_document_in_runs_below_too(api: httpx.AsyncClient) -> None:
    show = {"function_name": "json_projection", "inputs": {"lang": "inputs.lang", "depth": "inputs.options.depth"}}
    options = {"type": "object", "properties": {"depth": {"type": "integer", "default": 3}}}
    below = {
        "name": "below",
        "inputs": {
            "type": "object",
            "properties": {"lang": {"default": "en"}, "options": options},
            "required": ["lang"],
        },
        "nodes": [{"id": "show", "type": "function", "config": show}],
        "outputs": {"shown": "show.output"},
    }
    above = {
        "name": "above",
        "inputs": {"type": "object", "properties": {"depth": {"type": "integer", "default": 5}}},
        "nodes": [
            {
                "id": "run_it",
                "type": "workflow",
                "config": {"name": "below", "inputs": {"options": {"depth": "inputs.depth"}}},
            }
        ],
        "outputs": {"shown": "run_it.output.shown"},
    }
    for document in (below, above):
        assert 201 == (await api.post("/api/v1/workflows", json=document)).status_code
    body, key = {"workflow_name": "above", "inputs": {}}, {"Idempotency-Key": "defaults"}

    first = await api.post(RUNS, json=body, headers=key)
    again = await api.post(RUNS, json=body, headers=key)
    run = await ended(api, first.json()["run_id"])
    other = await api.post(RUNS, json={**body, "inputs": {"depth": 6}}, headers=key)

    assert (201, 200) == (first.status_code, again.status_code)
    assert {"depth": 5} == run["inputs"]
    assert {"shown": {"lang": "en", "depth": 5}} == run["outputs"]
    problem_of(other, status=409, code="run.idempotency_key_reused")
    repeated = await api.post(f"{RUNS}/{run['run_id']}/rerun", json={"from_nodes": ["run_it"]})
    assert {"depth": 5} == (await ended(api, repeated.json()["run_id"]))["inputs"]

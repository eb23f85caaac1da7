"""No request keeps the loop that all requests share, whatever stands in it."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from agentflow.settings import Settings
from api.json_body import MAX_JSON_VALUES
from cli.embedded.ports import free_port
from cli.embedded.waiting import answers_http, wait_until
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import PAYLOAD_KEY, Tenant, caller
from tests.integration.api.documents import ended, opened_approval, register_echo, submit
from tests.integration.api.measured_api import DELAY_PATH

RUNS, WORKFLOWS, PROMPTS = "/api/v1/workflows/runs", "/api/v1/workflows", "/api/v1/prompts"
MOST_SECONDS = 0.05
MOST_TIMES = 6
LARGE = 3_900_000


@pytest.fixture(scope="module")
async def measured(server: ApiServer, settings: Settings) -> AsyncIterator[str]:
    """The address of an API of its own process, over the same database and workers."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": str(settings.database_url),
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "PAYLOAD_KEYS": json.dumps({"of-these-tests": PAYLOAD_KEY}),
        "PAYLOAD_KEY_ID": "of-these-tests",
        "API_PORT": str(port),
    }
    assert server.url
    command = [sys.executable, "-m", "tests.integration.api.measured_api"]
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        assert await asyncio.to_thread(wait_until, lambda: answers_http(port, "/health"), timeout_seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def http(measured: str, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(measured, tenant.api_key) as http:
        yield http


@asynccontextmanager
async def undisturbed(http: httpx.AsyncClient) -> AsyncIterator[None]:
    """What is asked within the block must not have kept the server's loop."""
    await http.get(DELAY_PATH)
    yield
    worst = (await http.get(DELAY_PATH)).json()["worst_seconds"]
    assert worst < MOST_SECONDS, f"the loop was kept for {1_000 * worst:.0f} ms"


def many_names(size: int) -> bytes:
    """A document whose expressions name what is nearly there, as often as its size lets it."""
    nodes: list[dict[str, Any]] = []
    while len(nodes) < 250 and len(json.dumps(nodes)) < size:
        inputs = {f"v{number}": f"nodf_{len(nodes):03}_{'a' * 40}.output" for number in range(3)}
        config = {"function_name": "json_projection", "inputs": inputs}
        nodes.append({"id": f"node_{len(nodes):03}_{'a' * 40}", "type": "function", "config": config})
    text = json.dumps({"name": "many", "nodes": nodes, "description": ""})
    return (text + " " * (size - len(text))).encode()


def many_keys(size: int) -> bytes:
    """A document with a schema of very many properties."""
    properties = {f"property_{number}": {"type": "string"} for number in range(size // 40)}
    node = {"id": "a", "type": "function", "config": {"function_name": "json_projection", "inputs": {"v": "propertx"}}}
    return json.dumps({"name": "keys", "inputs": {"properties": properties}, "nodes": [node] * 50}).encode()


def large_plan(name: str) -> dict[str, Any]:
    """A document of half a megabyte that compiles to four: what is an expression takes ten times its text."""
    gate = {"id": "gate", "type": "wait", "config": {"event": "go"}}
    inputs = {f"v{number}": ["inputs.v"] * 12 for number in range(14)}
    config = {"function_name": "json_projection", "inputs": inputs}
    nodes = [{"id": f"n{number}", "type": "function", "depends": ["gate"], "config": config} for number in range(249)]
    return {"name": name, "nodes": [gate, *nodes]}


def many_edges(name: str) -> dict[str, Any]:
    """A document in which every node reads every one before it."""
    nodes: list[dict[str, Any]] = [{"id": "gate", "type": "wait", "config": {"event": "go"}}]
    for number in range(249):
        inputs = {f"v{before}": f"n{before}.output" for before in range(number)} or {"v": "gate.output"}
        config = {"function_name": "json_projection", "inputs": inputs}
        nodes.append({"id": f"n{number}", "type": "function", "config": config})
    return {"name": name, "nodes": nodes}


def large_schema_of_inputs(name: str) -> dict[str, Any]:
    """A document with few nodes and a schema of very many values."""
    values = {"type": "array", "default": [0] * 90_000}
    inputs = {"properties": {"v": {"type": "integer"}, "many": values}}
    return {"name": name, "inputs": inputs, "nodes": [{"id": "gate", "type": "wait", "config": {"event": "go"}}]}


def plans_in_a_plan(name: str) -> dict[str, Any]:
    """A document that names a large one several times, whose plan has each of them."""
    gate = {"id": "gate", "type": "wait", "config": {"event": "go"}}
    config = {"name": "large", "inputs": {"v": "inputs.v"}}
    runs = [{"id": f"r{number}", "type": "workflow", "depends": ["gate"], "config": config} for number in range(3)]
    return {"name": name, "nodes": [gate, *runs]}


def submission(value: str) -> bytes:
    return ('{"workflow_name":"echo","inputs":{"value":' + value + "}}").encode()


def large_schema(count: int) -> bytes:
    properties = {f"p{number}": {"type": "string"} for number in range(count)}
    return json.dumps({"name": "p", "template": "x", "schema": {"properties": properties}}).encode()


BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "as many values as may be": (RUNS, lambda: submission("[" + '{"a":1},' * (MAX_JSON_VALUES // 2 - 10) + "1]")),
    "too many values": (RUNS, lambda: submission("[" + "1," * (LARGE // 2) + "1]")),
    "a long text": (RUNS, lambda: submission('"' + "x" * LARGE + '"')),
    "a long text of two-byte characters": (RUNS, lambda: submission('"' + "\xe9" * (LARGE // 3) + '"')),
    "many names": (WORKFLOWS, lambda: many_names(60_000)),
    "many keys": (WORKFLOWS, lambda: many_keys(515_000)),
    "a document of few bytes": (WORKFLOWS, lambda: many_names(15_000)),
    "a long template": (PROMPTS, lambda: b'{"name":"p","template":"' + b"{{ a }} " * 120_000 + b'"}'),
    "a short template": (PROMPTS, lambda: b'{"name":"p","template":"' + b"{{ a }} " * 1_900 + b'"}'),
    "a large schema": (
        PROMPTS,
        lambda: json.dumps(
            {
                "name": "p",
                "template": "x",
                "schema": {"properties": {f"p{n}": {"type": "string"} for n in range(8_000)}},
            }
        ).encode(),
    ),
}


@pytest.mark.parametrize("name", BODIES)
async def test_no_body_keeps_the_loop(http: httpx.AsyncClient, name: str) -> None:
    await register_echo(http)
    path, make = BODIES[name]
    body = make()

    async with undisturbed(http):
        answer = await http.post(path, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in {201, 413, 422}, answer.text[:500]


async def test_a_body_without_a_key_keeps_no_loop(http: httpx.AsyncClient, measured: str) -> None:
    async with undisturbed(http), caller(measured, "af_unknown") as stranger:
        answer = await stranger.post(RUNS, content=submission("[" + "1," * (LARGE // 2) + "1]"))

    assert 401 == answer.status_code


async def test_reading_large_outputs_keeps_no_loop(http: httpx.AsyncClient) -> None:
    text = "x\xe9" * 1_000_000
    nodes = [
        {
            "id": "large",
            "type": "function",
            "config": {"function_name": "json_projection", "inputs": {"value": ["inputs.v"] * 4}},
        }
    ]
    document = {"name": "large", "nodes": nodes, "outputs": {"value": "large.output.value"}}
    assert 201 == (await http.post(WORKFLOWS, json=document)).status_code
    run = await submit(http, "large", v=text)
    view = await ended(http, run["run_id"])
    assert "succeeded" == view["state"], view["error"]

    async with undisturbed(http):
        output = await http.get(f"{RUNS}/{run['run_id']}/nodes/large/output")
        whole = await http.get(f"{RUNS}/{run['run_id']}")

    assert {"value": [text] * 4} == output.json()["output"]
    assert {"value": [text] * 4} == whole.json()["outputs"]


async def test_compiling_with_a_large_prompt_keeps_no_loop(http: httpx.AsyncClient) -> None:
    names = ["a", *(f"p{number}" for number in range(8_000))]
    schema = {"properties": {name: {"type": "string"} for name in names}}
    prompt = {"name": "p", "template": "{{ a }} " * 1_900, "schema": schema}
    created = await http.post(PROMPTS, json=prompt)
    assert 201 == created.status_code, created.text
    config = {"prompt_ref": "p@1", "inputs": {"a": "inputs.a"}}
    document = {"name": "prompted", "nodes": [{"id": "say", "type": "llm", "config": config}]}

    async with undisturbed(http):
        answers = [await http.post(path, json=document) for path in (WORKFLOWS, f"{WORKFLOWS}/validate")]

    assert [201, 200] == [answer.status_code for answer in answers]


async def test_looking_at_a_large_approval_keeps_no_loop(http: httpx.AsyncClient) -> None:
    shown = "inputs.many.map(n, {'n': n})"
    config = {"message": "Well?", "show": {f"s{number}": shown for number in range(20)}}
    document = {"name": "asked", "nodes": [{"id": "gate", "type": "approval", "config": config}]}
    assert 201 == (await http.post(WORKFLOWS, json=document)).status_code
    run = await submit(http, "asked", many=list(range(4_000)))
    opened = await opened_approval(http, run["run_id"])

    async with undisturbed(http):
        found = await http.get(f"/api/v1/approvals/{opened['approval_id']}")

    assert 80_000 == sum(len(part) for part in found.json()["show"].values())


PLANS = {make.__name__: make for make in (large_plan, many_edges, large_schema_of_inputs, plans_in_a_plan)}


@pytest.mark.parametrize("name", PLANS)
async def test_no_plan_keeps_the_loop(http: httpx.AsyncClient, name: str) -> None:
    assert 201 == (await http.post(WORKFLOWS, json=large_plan("large"))).status_code
    document = PLANS[name](name)

    async with undisturbed(http):
        for path, status in ((WORKFLOWS, 201), (WORKFLOWS, 200), (f"{WORKFLOWS}/validate", 200)):
            answer = await http.post(path, json=document)
            assert status == answer.status_code, answer.text[:500]
        found = (await http.get(f"{WORKFLOWS}/{name}")).json()

    assert document == json.loads(found["document"])
    assert [node["id"] for node in document["nodes"]] == [node["id"] for node in found["nodes"]]


@pytest.mark.parametrize("name", PLANS)
async def test_no_run_of_a_large_plan_keeps_the_loop(http: httpx.AsyncClient, name: str) -> None:
    assert 201 == (await http.post(WORKFLOWS, json=large_plan("large"))).status_code
    document = PLANS[name](name)
    assert (await http.post(WORKFLOWS, json=document)).status_code in {200, 201}

    async with undisturbed(http):
        run_id = (await submit(http, name, v=1))["run_id"]
        run, wish = f"{RUNS}/{run_id}", {"changes": {"v": 2}, "document": json.dumps(document)}
        ids = [node["id"] for node in (await http.get(run)).json()["nodes"]]
        asked = [
            (200, await http.get(f"{run}/graph")),
            (404, await http.get(f"{run}/nodes/none/steps")),
            (404, await http.post(f"{run}/events/other", json={"payload": {}})),
            (202, await http.post(f"{run}/pause")),
            (202, await http.post(f"{run}/cancel")),
        ]
        await ended(http, run_id)
        asked += [
            (200, await http.post(f"{run}/rerun/preview", json=wish)),
            (201, await http.post(f"{run}/rerun", json={"changes": {"v": 2}})),
        ]
        asked.append((202, await http.post(f"{RUNS}/{asked[-1][1].json()['run_id']}/cancel")))

    assert [status for status, _ in asked] == [answer.status_code for _, answer in asked], [
        a.text[:200] for _, a in asked
    ]
    assert [node["id"] for node in document["nodes"]] == ids


@pytest.mark.alone
async def test_refused_documents_of_one_organisation_do_not_slow_another(
    http: httpx.AsyncClient, measured: str, stranger: Tenant
) -> None:
    await register_echo(http)

    async def seconds_of_a_run() -> float:
        began = time.perf_counter()
        await ended(http, (await submit(http, value=1))["run_id"])
        return time.perf_counter() - began

    alone = sorted([await seconds_of_a_run() for _ in range(15)])[7]
    document, is_over = many_names(30_000), False
    async with caller(measured, stranger.api_key) as greedy:

        async def refused() -> int:
            count = 0
            while not is_over:
                answer = await greedy.post(WORKFLOWS, content=document)
                assert answer.status_code in {422, 429}
                count += answer.status_code == 422
            return count

        posts = [asyncio.create_task(refused()) for _ in range(8)]
        await asyncio.sleep(0)
        beside = sorted([await seconds_of_a_run() for _ in range(15)])[7]
        is_over = True
        counts = await asyncio.gather(*posts)

    assert sum(counts) > 0
    # Twice as long at most where the machine has nothing else to do; it was 58 s.
    assert beside < MOST_TIMES * alone, f"alone {alone:.3f} s, beside {sum(counts)} refused documents {beside:.3f} s"

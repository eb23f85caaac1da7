from typing import Any

import httpx
import pytest

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.tenant_repository import TenantRepository, new_api_key
from tests.integration.api.conftest import Tenant
from tests.integration.api.documents import echo_document, ended, register_echo
from tests.integration.api.problems import problem_of
from tests.specification_document import DOCUMENT_ANALYSIS

YAML = {"Content-Type": "application/yaml"}


async def test_registering_answers_with_the_version_and_what_it_compiles_to(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/workflows", json=echo_document("projector", version=3))

    workflow = answer.json()
    assert 201 == answer.status_code
    assert ("projector", 3) == (workflow["name"], workflow["version"])
    node: dict[str, Any] = {
        "id": "show",
        "type": "function",
        "depends": [],
        "target": "json_projection",
        "kind": "function",
        "when": None,
        "on_error": "fail",
        "over": None,
        "window": None,
        "batch": None,
        "more": [],
    }
    assert [node] == workflow["nodes"]
    assert 64 == len(workflow["digest"])


async def test_the_same_document_again_is_the_same_version(api: httpx.AsyncClient) -> None:
    first = await api.post("/api/v1/workflows", json=echo_document())
    again = await api.post("/api/v1/workflows", content=b"# a comment\n" + first.request.content, headers=YAML)

    assert (201, 200) == (first.status_code, again.status_code)
    assert first.json() == again.json()


async def test_a_version_is_never_changed(api: httpx.AsyncClient) -> None:
    await register_echo(api)
    other = echo_document() | {"description": "another document"}

    problem_of(await api.post("/api/v1/workflows", json=other), status=409, code="workflow.version_taken")


async def test_a_workflow_is_found_by_name_and_version_and_the_latest_without_one(api: httpx.AsyncClient) -> None:
    for version in (1, 2):
        await register_echo(api, version=version)

    latest = (await api.get("/api/v1/workflows/echo")).json()
    first = (await api.get("/api/v1/workflows/echo", params={"version": 1})).json()

    assert (2, 1) == (latest["version"], first["version"])
    assert '"version":1' in first["document"].replace(" ", "")


async def test_validating_stores_nothing(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/workflows/validate", json=echo_document())

    assert 200 == answer.status_code
    assert ["show"] == [node["id"] for node in answer.json()["nodes"]]
    bounds = answer.json()["bounds"]
    assert (3, 1, 0, 0) == (bounds["steps"], bounds["workflows"], bounds["model_calls"], bounds["cost_micro_usd"])
    problem_of(await api.get("/api/v1/workflows/echo"), status=404, code="workflow.not_found")


async def test_a_document_that_names_an_unknown_prompt_is_refused_with_its_line_and_path(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.post("/api/v1/workflows", content=DOCUMENT_ANALYSIS, headers=YAML)

    [detail] = problem_of(answer, status=422, code="spec.invalid")["errors"]
    line = 1 + DOCUMENT_ANALYSIS.splitlines().index("      prompt_ref: document_analyzer@3")
    assert ("unknown_prompt", "$.nodes[1].config.prompt_ref", line) == (detail["code"], detail["path"], detail["line"])


@pytest.mark.parametrize("path", ["/api/v1/workflows", "/api/v1/workflows/validate"])
async def test_every_problem_of_a_document_comes_at_once_in_the_order_of_its_lines(
    api: httpx.AsyncClient, path: str
) -> None:
    document = "name: odd name\nversion: 0\nnodes:\n  - id: a\n    type: nothing\n"

    errors = problem_of(await api.post(path, content=document, headers=YAML), status=422, code="spec.invalid")["errors"]

    places = [(error["line"], error["path"]) for error in errors]
    assert {(1, "$.name"), (2, "$.version")} < set(places)
    assert "$.nodes[0]" in {path[:10] for _, path in places}
    assert sorted(line for line, _ in places) == [line for line, _ in places]
    assert all(error["column"] and error["code"] and error["message"] for error in errors)


@pytest.mark.parametrize(
    ("document", "line"),
    [("name: [\n", 2), ("name: a\n\tb: c\n", 2), ("name: a\nnodes: &x []\n", 2), ("", None), ("- a list\n", None)],
)
async def test_a_document_that_does_not_parse_is_refused_where_it_breaks(
    api: httpx.AsyncClient, document: str, line: int | None
) -> None:
    answer = await api.post("/api/v1/workflows", content=document, headers=YAML)

    [detail] = problem_of(answer, status=400, code="spec.unreadable")["errors"]
    assert ("$", line) == (detail["path"], detail["line"])


@pytest.mark.parametrize(
    "document", [b"\xff\xfe", b"name: a\x00b", b'{"name": "\\ud800", "nodes": []}', b"name: \xed\xa0\x80"]
)
async def test_a_document_of_texts_that_cannot_be_stored_is_refused(api: httpx.AsyncClient, document: bytes) -> None:
    problem_of(await api.post("/api/v1/workflows", content=document), status=400, code="spec.unreadable")

    assert [] == (await api.get("/api/v1/workflows")).json()["items"]


async def test_what_this_organisation_has_is_told_where_a_document_names_something_else(api: httpx.AsyncClient) -> None:
    for name in ("greeting", "farewell"):
        await api.post("/api/v1/prompts", json={"name": name, "template": "{{ text }}"})
    ask = {"inputs": {"text": "inputs.text"}}
    configs = [
        {"prompt_ref": "greting@1"},
        {"prompt_ref": "greeting@7"},
        {"prompt_ref": "greeting@1", "model": "no/one"},
    ]
    nodes: list[dict[str, Any]] = [
        {"id": f"n{number}", "type": "llm", "config": {**ask, **config}} for number, config in enumerate(configs)
    ]
    nodes.append({"id": "gate", "type": "approval", "config": {"message": "Go?", "approvers": ["testa"]}})

    answer = await api.post("/api/v1/workflows/validate", json={"name": "wrong", "nodes": nodes})

    errors = problem_of(answer, status=422, code="spec.invalid")["errors"]
    messages = {error["path"]: error["message"] for error in errors}
    assert "there is no prompt 'greting'" in messages["$.nodes[0].config.prompt_ref"]
    assert "did you mean 'greeting'?" in messages["$.nodes[0].config.prompt_ref"]
    assert "prompt 'greeting' has no version 7; it has 1" == messages["$.nodes[1].config.prompt_ref"]
    assert "model 'no/one' is not offered; MODELS offers: " in messages["$.nodes[2].config.model"]
    assert "no API key 'testa'; did you mean 'test'?" in messages["$.nodes[3].config.approvers[0]"]
    assert 4 == len(messages)


async def test_a_registered_workflow_runs_on_when_a_rule_of_registration_would_refuse_it(
    api: httpx.AsyncClient, database: Database, tenant: Tenant
) -> None:
    now = SystemClock().now()
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        key_id = await tenants.add_key(org_id=tenant.org_id, name="leaving", api_key=new_api_key(), now=now)
    node = {"id": "ask", "type": "approval", "config": {"message": "Go?", "approvers": ["leaving"]}}
    document = {"name": "kept", "nodes": [node]}
    assert 201 == (await api.post("/api/v1/workflows", json=document)).status_code
    async with database.transaction() as session:
        await TenantRepository(session).revoke_key(org_id=tenant.org_id, key_id=key_id, now=now)

    refused = await api.post("/api/v1/workflows/validate", json=document)
    submitted = await api.post("/api/v1/workflows/runs", json={"workflow_name": "kept"})

    problem_of(refused, status=422, code="spec.invalid")
    assert 201 == submitted.status_code
    await api.post(f"/api/v1/workflows/runs/{submitted.json()['run_id']}/cancel")
    await ended(api, submitted.json()["run_id"])

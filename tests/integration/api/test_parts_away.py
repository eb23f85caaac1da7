"""Every route while PostgreSQL or Temporal goes away, before a request and in the middle of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from agentflow.database import Database
from agentflow.settings import Settings
from api.app import create_app
from cli.embedded.temporal_server import TemporalDevServer
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import CODEC_KEY, PAYLOAD_KEY, Tenant, caller, new_tenant
from tests.integration.api.database_relay import DatabaseRelay
from tests.integration.api.documents import CONTENT_SCHEMA, echo_document, ended, register_echo, submit
from tests.integration.api.problems import problem_of
from tests.workflows.platform import until

PLAIN = Settings(
    database_url="postgresql://127.0.0.1/none",
    payload_keys={"a": PAYLOAD_KEY},
    payload_key_id="a",
    codec_endpoint_key=CODEC_KEY,
)
OPERATIONS = {
    str(operation["operationId"]): (method, path, operation)
    for path, methods in create_app(PLAIN).openapi()["paths"].items()
    for method, operation in methods.items()
}
#: Those that answer without the database.
WITHOUT_DATABASE = {"health", "metrics", "decode_payloads", "encode_payloads", "sign_in_to_codec"}
#: Operation → a body that it takes; one that is not here and needs one fails.
BODIES: dict[str, Any] = {
    "register_workflow": echo_document(),
    "validate_workflow": echo_document(),
    "submit_run": {"workflow_name": "echo", "inputs": {"value": 1}},
    "preview_rerun": {"from_nodes": ["show"], "document": json.dumps(echo_document())},
    "rerun": {"from_nodes": ["show"], "changes": {"value": 2}},
    "deliver_event": {"payload": {"a": 1}},
    "decide": {"decision": "approve", "comment": "fine"},
    "resolve": {"resolution": "fail"},
    "create_prompt": {"name": "p", "template": "x {{ content }}", "schema": CONTENT_SCHEMA},
    "deploy_prompt": {"prompt_name": "p", "stable_version": 1},
    "create_budget": {"period_type": "daily", "limit_cents": 1},
    "decode_payloads": {"payloads": []},
    "encode_payloads": {"payloads": []},
}
#: Those that cannot be answered without Temporal → how they are refused.
NEED_TEMPORAL = {
    "ready": None,
    "pause_run": "run.not_reached",
    "resume_run": "run.not_reached",
    "decide": "gate.not_ready",
    "deliver_event": "gate.not_ready",
}
#: A run of it waits for both, so that either can be asked about.
WAITING = {
    "name": "waits",
    "nodes": [
        {"id": "ask", "type": "approval", "config": {"message": "Go on?", "show": {"n": "inputs.n"}}},
        {"id": "wait", "type": "wait", "config": {"event": "e"}},
    ],
}
ALL_TRANSACTIONS = 1_000_000
MOST_TRANSACTIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Asks operations about what is there: a run that has ended, and one that waits for a decision and an event."""

    http: httpx.AsyncClient
    names: dict[str, str]
    subject_digest: str

    async def ask(self, operation_id: str) -> httpx.Response:
        method, path, operation = OPERATIONS[operation_id]
        names = dict(self.names)
        if operation_id in {"preview_rerun", "rerun", "get_node_output"}:
            names["run_id"] = names["ended_run_id"]
        elif operation_id == "cancel_run":
            names["run_id"] = names["other_run_id"]
        body = BODIES[operation_id] if "requestBody" in operation else None
        if operation_id in {"decide", "resolve"}:
            body = {**BODIES[operation_id], "subject_digest": self.subject_digest}
        return await self.http.request(
            method,
            re.sub(r"{(\w+)}", lambda match: names[match[1]], path),
            json=body,
            headers={"Authorization": f"Bearer {CODEC_KEY}"} if path.startswith("/codec") else {},
        )


async def asker(api: httpx.AsyncClient, url: str, api_key: str) -> Asker:
    """Asks the server at `url` about what is made by `api`."""
    await register_echo(api)
    ended_run = await ended(api, (await submit(api, value=1))["run_id"])
    await api.post("/api/v1/workflows", json=WAITING)
    run, other = [await submit(api, "waits", n=1) for _ in range(2)]
    path = "/api/v1/approvals"
    approval = (await until(lambda: listed(api, path, run_id=run["run_id"])))[0]
    await until(lambda: listed(api, path, run_id=other["run_id"]))
    await api.post("/api/v1/prompts", json=BODIES["create_prompt"])
    await api.post("/api/v1/prompts/deployments", json=BODIES["deploy_prompt"])
    names = {
        "ended_run_id": ended_run["run_id"],
        "other_run_id": other["run_id"],
        "run_id": run["run_id"],
        "node_id": "show",
        "event_key": "e",
        "name": "p",
        "version": "1",
        "approval_id": approval["approval_id"],
    }
    return Asker(http=caller(url, api_key), names=names, subject_digest=approval["subject_digest"])


async def listed(api: httpx.AsyncClient, path: str, **parameters: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.get(path, params=parameters)).json()["items"]
    return items


def check_away(answer: httpx.Response, *, code: str | None) -> None:
    """An answer must be a 503 that says when to ask again, and nothing of what failed inside."""
    assert 503 == answer.status_code, answer.text
    assert int(answer.headers["retry-after"]) > 0
    if code is not None:
        problem_of(answer, status=503, code=code)
    assert not re.search(r"Traceback|psycopg|sqlalchemy|temporalio|RPCError", answer.text)


@pytest.fixture(scope="module")
async def relay(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DatabaseRelay]:
    async with DatabaseRelay(str(settings.database_url), tmp_path_factory.mktemp("r")) as relay:
        relay.serve(ALL_TRANSACTIONS)
        yield relay
        relay.serve(ALL_TRANSACTIONS)


@pytest.fixture(scope="module")
async def behind_relay(
    server: ApiServer, database: Database, settings: Settings, relay: DatabaseRelay
) -> AsyncIterator[Asker]:
    tenant = await new_tenant(database)
    with ApiServer(settings.model_copy(update={"database_url": relay.url})) as behind:
        async with caller(server.url, tenant.api_key) as api:
            asking = await asker(api, behind.url, tenant.api_key)
        async with asking.http:
            yield asking
            relay.serve(ALL_TRANSACTIONS)


@pytest.mark.parametrize("operation_id", sorted(OPERATIONS))
async def test_a_database_that_goes_away_in_the_middle_of_any_request_is_a_503(
    behind_relay: Asker, relay: DatabaseRelay, operation_id: str
) -> None:
    async def is_back() -> bool:
        return (await behind_relay.http.get("/api/v1/workflows")).status_code == 200

    refused = 0
    for transactions in range(MOST_TRANSACTIONS):
        relay.serve(ALL_TRANSACTIONS)
        await until(is_back)
        relay.serve(transactions)

        answer = await behind_relay.ask(operation_id)

        if answer.status_code != 503:
            break
        refused += 1
        check_away(answer, code=None if operation_id == "ready" else "service.unavailable")
    assert answer.status_code < 500, answer.text
    assert (refused == 0) == (operation_id in WITHOUT_DATABASE)


@pytest.mark.parametrize("was_there", [True, False])
async def test_temporal_that_is_away_is_a_503_where_it_is_needed_and_nothing_elsewhere(
    settings: Settings, tenant: Tenant, api: httpx.AsyncClient, was_there: bool
) -> None:
    temporal = TemporalDevServer(None)
    if was_there:
        temporal.start()
    with ApiServer(settings.model_copy(update={"temporal_address": temporal.address})) as away:
        asking = await asker(api, away.url, tenant.api_key)
        async with asking.http:
            assert (200 if was_there else 503) == (await asking.ask("ready")).status_code
            temporal.stop()

            told = await asyncio.gather(*map(asking.ask, OPERATIONS))
            answers = dict(zip(OPERATIONS, told, strict=True))

    for operation_id, code in NEED_TEMPORAL.items():
        check_away(answers.pop(operation_id), code=code)
    assert {} == {name: answer.text for name, answer in answers.items() if answer.status_code >= 500}

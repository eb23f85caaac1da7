"""Payloads opened for operators: Temporal's codec server protocol, by Temporal's own command line too."""

import base64
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from agentflow.errors import ConfigurationError
from agentflow.settings import Settings
from api.app import create_app
from cli.embedded.temporal_server import TemporalDevServer, temporal_binary
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import CODEC_KEY, Tenant, caller
from tests.integration.api.problems import problem_of
from workflows.temporal_connection import connect_temporal

UI = "http://127.0.0.1:8233"


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


PLAIN = {"metadata": {"encoding": b64(b"json/plain")}, "data": b64(b'"secret"')}


@pytest.fixture(scope="module")
def codec_server(settings: Settings) -> Iterator[ApiServer]:
    with ApiServer(settings.model_copy(update={"temporal_ui_url": f"{UI}/some/path"})) as server:
        yield server


@pytest.fixture
async def operator(codec_server: ApiServer) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(codec_server.url, CODEC_KEY) as http:
        yield http


async def sealed(http: httpx.AsyncClient, *payloads: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await http.post("/codec/encode", json={"payloads": list(payloads)})
    assert 200 == answer.status_code, answer.text
    found: list[dict[str, Any]] = answer.json()["payloads"]
    return found


async def test_what_is_encoded_tells_nothing_and_is_decoded_again(operator: httpx.AsyncClient) -> None:
    [payload] = await sealed(operator, PLAIN)

    assert b64(b"binary/encrypted") == payload["metadata"]["encoding"]
    assert b"secret" not in base64.b64decode(payload["data"])
    answer = await operator.post("/codec/decode", json={"payloads": [payload, PLAIN]})
    assert {"payloads": [PLAIN, PLAIN]} == answer.json()


async def test_base64_of_the_other_alphabet_and_without_padding_is_read(operator: httpx.AsyncClient) -> None:
    answer = await operator.post("/codec/decode", json={"payloads": [{"data": "-_8"}, {"data": None}, {}]})

    assert [b64(b"\xfb\xff"), "", ""] == [payload["data"] for payload in answer.json()["payloads"]]


async def test_no_payloads_are_no_payloads(operator: httpx.AsyncClient) -> None:
    assert {"payloads": []} == (await operator.post("/codec/decode", json={})).json()


@pytest.mark.parametrize(
    "payload",
    [
        {"metadata": {"encoding": "%%%"}, "data": ""},
        {"metadata": {}, "data": "a"},
    ],
)
async def test_what_is_not_base64_is_refused(operator: httpx.AsyncClient, payload: dict[str, Any]) -> None:
    problem_of(
        await operator.post("/codec/decode", json={"payloads": [payload]}), status=400, code="payload.unreadable"
    )


async def test_a_key_that_is_not_configured_is_named(operator: httpx.AsyncClient) -> None:
    foreign = {
        "metadata": {"encoding": b64(b"binary/encrypted"), "encryption-key-id": b64(b"gone")},
        "data": b64(b"x" * 80),
    }

    answer = await operator.post("/codec/decode", json={"payloads": [foreign]})

    assert "'gone'" in problem_of(answer, status=400, code="payload.key_unknown")["detail"]


async def test_what_was_altered_is_refused(operator: httpx.AsyncClient) -> None:
    [payload] = await sealed(operator, PLAIN)
    payload["data"] = b64(base64.b64decode(payload["data"])[:-1])

    answer = await operator.post("/codec/decode", json={"payloads": [payload, PLAIN]})

    # The others of its history can be read all the same.
    refused, plain = answer.json()["payloads"]
    assert b"agentflow/refused" == base64.b64decode(refused["metadata"]["encoding"])
    assert b"was altered" in base64.b64decode(refused["data"])
    assert plain == PLAIN


@pytest.mark.parametrize("path", ["/codec/decode", "/codec/encode"])
async def test_no_organisations_key_opens_payloads(codec_server: ApiServer, tenant: Tenant, path: str) -> None:
    async with caller(codec_server.url, tenant.api_key) as api:
        answers = [
            await api.post(path, json={"payloads": [PLAIN]}),
            await api.post(path, json={"payloads": [PLAIN]}, headers={"Authorization": ""}),
            await api.post(path, json={"payloads": [PLAIN]}, headers=[(b"Authorization", b"Bearer \xe9")]),
        ]

    for answer in answers:
        problem_of(answer, status=401, code="auth.operator_key_required")


async def test_a_browser_signs_in_with_the_key_as_its_password(codec_server: ApiServer) -> None:
    async with httpx.AsyncClient(base_url=codec_server.url, trust_env=False) as http:
        asked = await http.get("/codec/sign-in")
        signed_in = await http.get("/codec/sign-in", auth=("anybody", CODEC_KEY))
        decoded = await http.post("/codec/decode", json={"payloads": [PLAIN]}, auth=("anybody", CODEC_KEY))

    assert (401, 'Basic realm="codec", Bearer') == (asked.status_code, asked.headers["www-authenticate"])
    assert (200, 200) == (signed_in.status_code, decoded.status_code)


async def preflight(http: httpx.AsyncClient, path: str, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }
    return await http.options(path, headers=headers)


async def test_the_web_uis_pages_may_call_it_and_no_others(operator: httpx.AsyncClient) -> None:
    allowed = await preflight(operator, "/codec/decode", UI)
    refused = await preflight(operator, "/codec/decode", "http://evil.example")
    elsewhere = await preflight(operator, "/api/v1/workflows", UI)
    called = await operator.post("/codec/decode", json={"payloads": [PLAIN]}, headers={"Origin": UI})
    failed = await operator.post("/codec/decode", json={"payloads": 1}, headers={"Origin": UI})

    assert (200, UI, "true") == (
        allowed.status_code,
        allowed.headers["access-control-allow-origin"],
        allowed.headers["access-control-allow-credentials"],
    )
    assert UI == called.headers["access-control-allow-origin"] == failed.headers["access-control-allow-origin"]
    for answer in (refused, elsewhere):
        assert "access-control-allow-origin" not in answer.headers


def test_there_is_no_endpoint_without_its_key(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"codec_endpoint_key": None}))

    assert not [path for path in app.openapi()["paths"] if path.startswith("/codec")]


def test_an_endpoint_without_payload_keys_is_a_mistake(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="nothing to open"):
        create_app(settings.model_copy(update={"payload_keys": {}, "payload_key_id": None}))


async def test_temporals_own_command_line_reads_a_history_through_it(
    codec_server: ApiServer, temporal_server: TemporalDevServer, settings: Settings
) -> None:
    client: Client = await connect_temporal(settings)
    await client.start_workflow("Nobody", "Rumpelstilzchen", id="codec-cli", task_queue="of-nobody")
    show = ["workflow", "show", "--workflow-id", "codec-cli", "--output", "json", "--address", temporal_server.address]

    def shown(*more: str) -> str:
        command = [str(temporal_binary()), *show, "--disable-config-file", *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    argument = b64(b'"Rumpelstilzchen"')
    assert argument not in shown()
    endpoint = ["--codec-endpoint", f"{codec_server.url}/codec", "--codec-auth", f"Bearer {CODEC_KEY}"]
    assert argument in shown(*endpoint)

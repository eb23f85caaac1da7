"""Who asks is known before anything of a body is read, on every route that there is."""

import asyncio

import httpx
import pytest

from api.app import create_app
from tests.integration.api.api_server import ApiServer
from tests.integration.api.documents import register_echo
from tests.integration.api.problems import problem_of
from tests.integration.api.test_openapi_fuzz import APPLICATION

#: Method and path of all that needs a key.
GUARDED = [
    (method.upper(), path.replace("{", "").replace("}", ""))
    for path, methods in create_app(APPLICATION).openapi()["paths"].items()
    for method, operation in methods.items()
    if operation.get("security")
]
RUNS = "/api/v1/workflows/runs"


async def head_of_answer(server: ApiServer, *lines: str) -> str:
    """What is answered to a request whose body never comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(20):
            writer.write("\r\n".join((*lines, "Host: here", "", "")).encode())
            return (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()


def test_every_operation_on_data_is_guarded() -> None:
    assert len(GUARDED) > 25
    assert {"/api", "/codec"} == {"/" + path.split("/")[1] for _, path in GUARDED}


@pytest.mark.parametrize("key", [[], ["Authorization: Bearer af_unknown"], ["X-API-Key: af_unknown"]], ids=str)
@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_without_a_known_key_a_request_is_refused_before_its_body_comes(
    server: ApiServer, method: str, path: str, key: list[str]
) -> None:
    lines = [f"{method} {path} HTTP/1.1", "Content-Type: application/json", "Content-Length: 1000000", *key]

    answer = await head_of_answer(server, *lines)

    assert answer.startswith("HTTP/1.1 401 "), answer
    assert "www-authenticate:" in answer


async def test_a_client_that_waits_to_be_told_is_not_told_to_send_its_body_without_a_key(server: ApiServer) -> None:
    lines = [f"POST {RUNS} HTTP/1.1", "Content-Type: application/json", "Content-Length: 9", "Expect: 100-continue"]

    assert (await head_of_answer(server, *lines)).startswith("HTTP/1.1 401 ")


@pytest.mark.parametrize("content_type", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/a+json"])
async def test_a_key_that_stands_twice_is_refused_with_its_path(api: httpx.AsyncClient, content_type: str) -> None:
    await register_echo(api)
    body = '{"workflow_name":"echo","inputs":{"value":{"n":1,"n":2}}}'

    answer = await api.post(RUNS, content=body, headers={"Content-Type": content_type})

    [detail] = problem_of(answer, status=422, code="request.key_repeated")["errors"]
    assert "$.inputs.value.n" == detail["path"]
    assert [] == (await api.get(RUNS)).json()["items"]


async def test_a_body_of_too_many_values_is_refused(api: httpx.AsyncClient) -> None:
    body = '{"workflow_name":"echo","inputs":{"value":[' + "1," * 200_000 + "1]}}"

    answer = await api.post(RUNS, content=body, headers={"Content-Type": "application/json"})

    problem_of(answer, status=413, code="request.too_many_values")

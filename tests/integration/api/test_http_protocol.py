"""Requests as bytes: such as never end, such as are no HTTP, and more connections than there may be."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from agentflow.settings import Settings
from tests.integration.api.api_server import ApiServer

GET = b"GET /health HTTP/1.1\r\nHost: here\r\n"
POST = b"POST /api/v1/workflows HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n"
MOST = 20


@pytest.fixture(scope="module")
def strict() -> Iterator[ApiServer]:
    """A server of little patience, whose routes need neither database nor Temporal."""
    settings = Settings(
        database_url="postgresql://127.0.0.1/none",
        api_head_seconds=0.5,
        api_body_seconds=0.5,
        api_max_connections=MOST,
    )
    with ApiServer(settings) as server:
        yield server


@asynccontextmanager
async def connection(server: ApiServer) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(60):
            yield reader, writer
    finally:
        writer.close()


async def said(server: ApiServer, *parts: bytes) -> bytes:
    """All that is said to a client that sends this and then waits, until the server closes."""
    async with connection(server) as (reader, writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()


async def test_a_connection_without_a_request_is_closed(strict: ApiServer) -> None:
    assert b"" == await said(strict)


@pytest.mark.parametrize("head", [b"G", GET, GET + b"X-Half: ", GET + b"\r\n" + GET])
async def test_a_head_that_does_not_end_is_refused_in_time(strict: ApiServer, head: bytes) -> None:
    answer = await said(strict, head)

    *_, status, rest = [*answer.rpartition(b"HTTP/1.1 ")]
    assert b"HTTP/1.1 " == status
    assert rest.startswith(b"408 ")
    assert "request.too_slow" == json.loads(rest.partition(b"\r\n\r\n")[2])["code"]


async def test_a_head_that_comes_a_byte_at_a_time_gets_no_more_time(strict: ApiServer) -> None:
    async with connection(strict) as (reader, writer):

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

        writer.write(GET)
        dripping = asyncio.create_task(drip())
        answer = await reader.read(12)
        dripping.cancel()

    assert b"HTTP/1.1 408" == answer


async def test_a_body_that_does_not_end_ends_the_connection(strict: ApiServer) -> None:
    answer = await said(strict, POST, b"\r\n", b"12345")

    # Without a key the answer comes before the body would.
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_body_that_is_waited_for_is_refused_in_time(settings: Settings, api: httpx.AsyncClient) -> None:
    key = api.headers["authorization"].encode()
    with ApiServer(settings.model_copy(update={"api_body_seconds": 0.5})) as impatient:
        answer = await said(impatient, POST, b"Authorization: " + key + b"\r\n\r\n", b"12345")

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "head",
    [
        GET.replace(b"\r\n", b"\n") + b"\n",
        GET + b"X-A: 1\n\r\n",
        GET + b"X-A: 1\r\n folded\r\n\r\n",
        GET + b"X-A: 1\r\n\tfolded\r\n\r\n",
        GET + b"X-A: 1\rX-B: 2\r\n\r\n",
        GET + b"X-A: 1\x002\r\n\r\n",
        GET + b"X-A: \x01\r\n\r\n",
        GET + b"X-A: \x7f\r\n\r\n",
        GET + b"X-A : 1\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        GET + b"\r\n" + GET + b"X-A: 1\n\r\n",
    ],
)
async def test_a_head_that_others_may_read_in_another_way_is_refused(strict: ApiServer, head: bytes) -> None:
    answer = await said(strict, head)

    assert b"HTTP/1.1 400 " in answer


@pytest.mark.parametrize("value", [b"", b"a b\tc", b"caf\xc3\xa9", b'"quoted"'])
async def test_a_head_as_the_rfc_says_is_read(strict: ApiServer, value: bytes) -> None:
    answer = await said(strict, GET + b"Connection: close\r\nX-A: " + value + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_requests_one_after_the_other_are_each_answered(strict: ApiServer) -> None:
    answer = await said(strict, (GET + b"\r\n") * 3 + GET + b"Connection: close\r\n\r\n")

    assert 4 == answer.count(b"HTTP/1.1 200 ")


async def test_half_sent_requests_keep_nobody_out(strict: ApiServer) -> None:
    half_sent = [await asyncio.open_connection("127.0.0.1", strict.port) for _ in range(3 * MOST)]
    for _, writer in half_sent:
        writer.write(GET)

    async with httpx.AsyncClient(base_url=strict.url, trust_env=False, timeout=60) as http:
        assert [200] * 5 == [(await http.get("/health")).status_code for _ in range(5)]

    async with asyncio.timeout(60):
        for reader, writer in half_sent:
            try:
                await reader.read()
            except ConnectionError:
                continue
            finally:
                writer.close()

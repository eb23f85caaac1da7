from collections.abc import AsyncIterator

import httpx
import pytest

from api.request_limits import MAX_BODY_BYTES
from tests.integration.api.problems import problem_of

TEN_MEGABYTES = 10_000_000


async def pieces() -> AsyncIterator[bytes]:
    """A body without a Content-Length: it is sent in chunks."""
    for _ in range(10):
        yield b"#" * (TEN_MEGABYTES // 10)


@pytest.mark.parametrize("path", ["/api/v1/workflows", "/api/v1/workflows/validate", "/api/v1/workflows/runs"])
@pytest.mark.parametrize("announced", [True, False])
async def test_ten_megabytes_are_refused_whether_announced_or_not(
    api: httpx.AsyncClient, path: str, announced: bool
) -> None:
    content: bytes | AsyncIterator[bytes] = b"#" * TEN_MEGABYTES if announced else pieces()

    answer = await api.post(path, content=content, headers={"Content-Type": "application/json"})

    assert announced == ("content-length" in answer.request.headers)
    problem_of(answer, status=413, code="request.too_large")
    assert 200 == (await api.get("/health")).status_code


async def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(api: httpx.AsyncClient) -> None:
    def body(size: int) -> bytes:
        return b'{"name":"p","template":"' + b"x" * (size - 26) + b'"}'

    largest = await api.post("/api/v1/prompts", content=body(MAX_BODY_BYTES))
    one_more = await api.post("/api/v1/prompts", content=body(MAX_BODY_BYTES + 1))

    assert [MAX_BODY_BYTES, MAX_BODY_BYTES + 1] == [len(answer.request.content) for answer in (largest, one_more)]
    problem_of(largest, status=422, code="request.invalid")
    problem_of(one_more, status=413, code="request.too_large")


async def test_a_document_past_its_own_limit_is_refused_before_it_is_parsed(api: httpx.AsyncClient) -> None:
    problem_of(await api.post("/api/v1/workflows", content=b"#" * 2_000_000), status=400, code="spec.unreadable")

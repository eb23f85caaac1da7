import gzip
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest

from agentflow.bounded_body import bounded, bounded_async
from agentflow.content_encoding import ContentTooLong, Decompression

LIMIT = 100_000


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in chunks."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    async def __aiter__(self):  # type: ignore[no-untyped-def]  # httpx's own is declared in two ways.
        for chunk in self._chunks:
            yield chunk


def transport(*chunks: bytes, **headers: str) -> httpx.MockTransport:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=named, stream=Chunks(*chunks)))


def read(*chunks: bytes, **headers: str) -> bytes:
    hooks = {"response": [bounded(httpx, limit_bytes=LIMIT)]}
    with httpx.Client(transport=transport(*chunks, **headers), event_hooks=hooks) as client:
        return client.get("http://test.invalid").content


async def read_events(*chunks: bytes) -> bytes:
    hooks = {"response": [bounded_async(httpx, limit_bytes=LIMIT, each_event=True)]}
    made = transport(*chunks, content_type="text/event-stream")
    async with httpx.AsyncClient(transport=made, event_hooks=hooks) as client:
        return (await client.get("http://test.invalid")).content


def test_a_body_within_the_bound_is_read_compressed_or_not() -> None:
    body = b"x" * LIMIT
    zipped = gzip.compress(body)

    assert body == read(body)
    assert body == read(zipped[:50], zipped[50:], content_encoding="gzip")


@pytest.mark.parametrize(
    ("chunks", "encoding"),
    [
        ((b"x" * LIMIT, b"x"), "identity"),
        ((gzip.compress(b"x" * 200_000_000, 1),), "gzip"),
        ((gzip.compress(gzip.compress(b"x" * 200_000_000, 1), 1),), "gzip, gzip"),
        ((b"no gzip",), "gzip"),
        ((b"x",), "br"),
    ],
    ids=["plain", "bomb", "bomb in a bomb", "lie", "unknown"],
)
def test_what_is_longer_or_cannot_be_decompressed_is_an_error(chunks: tuple[bytes, ...], encoding: str) -> None:
    with pytest.raises(httpx.DecodingError):
        read(*chunks, content_encoding=encoding)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
async def test_a_stream_of_events_is_bounded_by_the_event(line_end: bytes, cut: int) -> None:
    event = line_end.join([b"event: message", b"data: " + b"x" * (LIMIT - 100), b"", b""])
    stream = 3 * event
    # Where an event ends, the pieces are cut before it, within it and after it.
    places = [0, *(place * len(event) - cut for place in (1, 2, 3)), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(places)]

    assert stream == await read_events(*chunks)
    with pytest.raises(httpx.DecodingError):
        await read_events(event, b"x" * LIMIT, b"x" * 200)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_lines_do_not_end_an_event(line_end: bytes) -> None:
    line = b"data: " + b"x" * 994

    with pytest.raises(httpx.DecodingError):
        await read_events(*(part for _ in range(LIMIT // 1_000 + 1) for part in (line, line_end)))


async def test_what_is_no_stream_of_events_is_bounded_whole() -> None:
    hooks = {"response": [bounded_async(httpx, limit_bytes=LIMIT, each_event=True)]}
    made = transport(b"x\n\n" * LIMIT, content_type="text/plain")

    async with httpx.AsyncClient(transport=made, event_hooks=hooks) as client:
        with pytest.raises(httpx.DecodingError):
            await client.get("http://test.invalid")


def test_no_more_than_a_piece_is_unpacked_beyond_the_limit() -> None:
    decompression = Decompression("gzip", limit_bytes=1_000_000)
    came: list[bytes] = []

    with pytest.raises(ContentTooLong):
        came.extend(decompression.feed(gzip.compress(b"x" * 50_000_000, 1)))

    assert sum(map(len, came)) <= 1_000_000

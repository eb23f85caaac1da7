"""HTTP clients that take no more of a body than is allowed, however small it comes over the line.

httpx and its kin decompress a chunk at once and read bodies to their end. A hook takes the body's stream before it is
read, and decompresses it in pieces that are counted.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

from agentflow.content_encoding import ACCEPTED, ContentTooLong, ContentUnreadable, Decompression

#: What a client whose bodies are bounded asks for.
ACCEPT_ENCODING: Mapping[str, str] = {"Accept-Encoding": ACCEPTED}
_EVENTS = "text/event-stream"
#: Two ends of lines after each other, with which an event ends: a line ends with CR, LF or both (the HTML standard,
#: "Parsing an event stream"), so that CR and LF alone are one end.
_ENDS_OF_EVENTS = (b"\n\n", b"\n\r", b"\r\r")

AsyncHook = Callable[[Any], Awaitable[None]]
Hook = Callable[[Any], None]


def bounded_async(library: Any, *, limit_bytes: int, each_event: bool = False) -> AsyncHook:
    """A response hook for the asynchronous clients of `library`, which is httpx or has its classes.

    Beyond the limit, and for what is not compressed as it says, reading raises `library.DecodingError`. With
    `each_event` the limit of a stream of events is for each of them, because such a stream may live for days.
    """

    class Bounded(library.AsyncByteStream):  # type: ignore[misc]  # Its type is whatever library it is.
        def __init__(self, response: Any) -> None:
            self._stream, self._body = response.stream, _Body(library, response, limit_bytes, each_event=each_event)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in self._stream:
                for piece in self._body.pieces(chunk):
                    yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def hook(response: Any) -> None:
        response.stream = Bounded(response)

    return hook


def bounded(library: Any, *, limit_bytes: int) -> Hook:
    """The same for synchronous clients."""

    class Bounded(library.SyncByteStream):  # type: ignore[misc]  # Its type is whatever library it is.
        def __init__(self, response: Any) -> None:
            self._stream, self._body = response.stream, _Body(library, response, limit_bytes, each_event=False)

        def __iter__(self) -> Iterator[bytes]:
            for chunk in self._stream:
                yield from self._body.pieces(chunk)

        def close(self) -> None:
            self._stream.close()

    def hook(response: Any) -> None:
        response.stream = Bounded(response)

    return hook


class _Body:
    def __init__(self, library: Any, response: Any, limit_bytes: int, *, each_event: bool) -> None:
        self._library, self._limit_bytes = library, limit_bytes
        media_type = response.headers.get("content-type", "").lower()
        self._each_event = each_event and media_type.lstrip().startswith(_EVENTS)
        # The library is not to decompress again.
        self._encoding = response.headers.pop("content-encoding", None)
        self._decompression: Decompression | None = None
        self._size = 0
        #: The last byte that came: an event may end between two pieces.
        self._last = b""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        try:
            if self._decompression is None:
                self._decompression = Decompression(self._encoding, limit_bytes=sys.maxsize)
            for piece in self._decompression.feed(chunk):
                self._count(piece)
                yield piece
        except (ContentUnreadable, ContentTooLong) as error:
            raise self._library.DecodingError(str(error)) from None

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._each_event:
            seen = self._last + piece
            end = max(seen.rfind(mark) for mark in _ENDS_OF_EVENTS)
            if end >= 0:
                self._size = len(seen) - end - 2
            self._last = piece[-1:] or self._last
        if self._size > self._limit_bytes:
            raise ContentTooLong(f"the body has more than {self._limit_bytes:,} bytes")

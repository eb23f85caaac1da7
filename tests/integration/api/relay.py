"""A TCP relay before the real server, which loses the connections that a test tells it to lose."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from tests.deadline import deadline

#: `refused`: cut before anything is read. `unanswered`: the server acts on the request, and its answer is lost.
Loss = Literal["refused", "unanswered"]


class Relay:
    """Passes one request for each connection on to `port`, after losing as many connections as `losses` has."""

    def __init__(self, port: int, *losses: Loss) -> None:
        self._port, self._losses = port, list(losses)
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        async with deadline("the connections of the relay to end"):
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        loss = self._losses.pop(0) if self._losses else None
        if loss != "refused":
            answer = await self._ask(await _message(reader))
            if loss is None:
                writer.write(answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request)
        answer = await _message(reader)
        writer.close()
        await writer.wait_closed()
        return answer


async def _message(reader: asyncio.StreamReader) -> bytes:
    """An HTTP message whose body comes in chunks, has its length announced, or is none."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = {name: value.strip() for name, _, value in (line.partition(b":") for line in head.lower().split(b"\r\n"))}
    if fields.get(b"transfer-encoding") == b"chunked":
        return head + await reader.readuntil(b"\r\n0\r\n\r\n")
    return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))

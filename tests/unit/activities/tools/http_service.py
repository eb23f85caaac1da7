"""An HTTP service on the loopback interface that answers what a test scripts and keeps what it was asked."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.deadline import deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came over the line."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer; `_` in the names of headers is `-`."""
    lines = [f"HTTP/1.1 {status} Said", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class HttpService:
    """Answers one request a connection, with the next of `answers`; None hangs up, and "silence" says nothing."""

    def __init__(self) -> None:
        self.answers: list[bytes | str | None] = []
        self.asked: list[Asked] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            async with deadline("the connections of the service to end"):
                await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await _read(reader))
            said = self.answers.pop(0) if self.answers else answer()
            if said == "silence":
                # Until the other side gives up.
                await reader.read()
            elif isinstance(said, bytes):
                writer.write(said)
                # Who has read enough hangs up.
                with suppress(ConnectionError):
                    await writer.drain()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method=method, path=path, headers=headers, body=body)

"""A relay before the real PostgreSQL, which is gone after as many transactions as a test says."""

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

#: PostgreSQL's protocol, "Message Formats": a message's type, its length with these four bytes, and its content.
_HEADER_BYTES = 5
_READY_AND_IDLE = b"Z\x00\x00\x00\x05I"
#: As libpq names the socket of this port.
_SOCKET = ".s.PGSQL.5432"


class DatabaseRelay:
    """Passes connections on from a socket in `folder` to the server of `database_url`, until it is told not to."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._folder, self._left, self._tasks = folder, 0, set[asyncio.Task[None]]()
        self._open: set[asyncio.StreamWriter] = set()
        url = make_url(database_url).set(drivername="postgresql")
        self._upstream = conninfo_to_dict(url.render_as_string(hide_password=False))
        query = {name: value for name, value in url.query.items() if name not in {"host", "port"}}
        self.url = url.set(host=None, port=None, query={**query, "host": str(folder)}).render_as_string(
            hide_password=False
        )

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._folder / _SOCKET)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def serve(self, transactions: int) -> None:
        """Lets so many transactions through; with the next one every connection breaks, and none is to be had."""
        self._left = transactions

    def cut(self) -> None:
        """Breaks every connection."""
        self._left = 0
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._left <= 0:
            writer.transport.abort()
            return
        server_reader, server_writer = await self._connect()
        self._open |= {writer, server_writer}
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            answers = asyncio.ensure_future(self._answers(server_reader, writer))
            try:
                await self._questions(reader, server_writer)
            finally:
                answers.cancel()
        self._open -= {writer, server_writer}
        writer.close()
        server_writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._upstream.get("host")), int(self._upstream.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _questions(self, reader: asyncio.StreamReader, server: Any) -> None:
        while message := await reader.read(65_536):
            if self._left <= 0:
                self.cut()
                return
            server.write(message)
            await server.drain()

    async def _answers(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_new = True
        while True:
            header = await server.readexactly(_HEADER_BYTES)
            content = await server.readexactly(int.from_bytes(header[1:]) - 4)
            if header + content == _READY_AND_IDLE:
                # The first one only says that a new connection can be used.
                self._left -= 0 if is_new else 1
                is_new = False
            writer.write(header + content)

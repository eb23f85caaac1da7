"""The server on a free port of the loopback interface."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

from tests.deadline import deadline
from tests.mcp_server.tools import build_server


@asynccontextmanager
async def running_http_server(
    mcp: MCPServer | None = None, *, key: str | None = None, port: int = 0
) -> AsyncIterator[int]:
    """The port of `mcp`, or of the tests' own; with `key`, requests without it as their `X-Key` are turned away."""
    app: Any = (mcp or build_server()).streamable_http_app()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    # Its loggers are the whole process's: they are left as other tests expect them.
    config = uvicorn.Config(_guarded(app, key), log_config=None, access_log=False, lifespan="on", ws="none")
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with deadline("the MCP server to listen"):
        await server.is_up.wait()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        async with deadline("the MCP server to stop"):
            await serving
        # Who exits by force leaves this out, and the application's own end with it.
        await server.lifespan.shutdown()
        listener.close()


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.is_up.set()


def _guarded(app: Any, key: str | None) -> Callable[[Any, Any, Any], Awaitable[None]]:
    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        if scope["type"] == "http" and key is not None and headers.get(b"x-key") != key.encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return guarded

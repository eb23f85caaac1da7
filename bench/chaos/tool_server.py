"""The effects of the service as tools of an MCP server, which is never killed either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from bench.chaos.effect_service import LATENCY_SECONDS, EffectService, effect_at
from cli.embedded.waiting import LOOPBACK
from tests.mcp_server.http import running_http_server

SERVER = "effects"


class Receipt(BaseModel):
    """What is answered for a deed."""

    receipt: str


@asynccontextmanager
async def tool_server(service: EffectService) -> AsyncIterator[str]:
    """The server's URL; `look` asks by GET, `pay` does by POST what stands at a path of the service."""
    server = MCPServer(SERVER, log_level="ERROR")

    async def asked(method: str, path: str) -> Receipt:
        effect = effect_at(method, path)
        service.perform(effect)
        await asyncio.sleep(LATENCY_SECONDS)
        return Receipt(**effect.receipt)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    async def look(path: str) -> Receipt:
        """Looks, and changes nothing."""
        return await asked("GET", path)

    @server.tool()
    async def pay(path: str) -> Receipt:
        """Pays, which must not be repeated."""
        return await asked("POST", path)

    async with running_http_server(server) as port:
        yield f"http://{LOOPBACK}:{port}/mcp"

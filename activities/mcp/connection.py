"""How an MCP server is reached: a client of the SDK for a command or a URL, with the secrets that settings name."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agentflow.errors import ConfigurationError
from agentflow.mcp_settings import McpServer

if TYPE_CHECKING:
    from mcp import Client


@asynccontextmanager
async def connected(name: str, server: McpServer) -> "AsyncIterator[Client]":
    """A client that has shaken hands; raises ConfigurationError, or whatever the SDK and the system raise.

    Enter and leave it in one task: the SDK's task groups want that.
    """
    # Imported here: it takes most of a second, and most processes never speak to a server.
    import httpx2
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    if server.url is not None:
        headers = {header: _secret(name, variable) for header, variable in server.headers.items()}
        timeout = httpx2.Timeout(server.connect_seconds, read=server.call_seconds)
        async with httpx2.AsyncClient(headers=headers, timeout=timeout) as http:
            transport = streamable_http_client(server.url, http_client=http)
            async with Client(transport, read_timeout_seconds=server.connect_seconds, cache=None) as client:
                yield client
        return
    parameters = StdioServerParameters(
        command=str(server.command), args=list(server.args), env={key: _secret(name, key) for key in server.env}
    )
    # What a server prints may be the arguments of a call, which are nothing for a log.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:  # noqa: ASYNC230  # never waits
        transport = stdio_client(parameters, errlog=nowhere)
        async with Client(transport, read_timeout_seconds=server.connect_seconds, cache=None) as client:
            yield client


def _secret(server: str, variable: str, environment: Mapping[str, str] = os.environ) -> str:
    value = environment.get(variable)
    if value is None:
        raise ConfigurationError(
            f"the environment variable {variable!r}, which MCP_SERVERS names for the server {server!r}, is not set"
        )
    return value

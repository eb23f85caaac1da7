"""How an MCP server is reached: a client of the SDK for a command or a URL, with the secrets that settings name."""

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from activities.mcp.stderr_tail import StderrTail
from activities.mcp.tolerant_transport import tolerant
from activities.mcp.tool_names import server_as_owner
from agentflow.bounded_body import ACCEPT_ENCODING, bounded_async
from agentflow.errors import ConfigurationError
from agentflow.mcp_settings import McpServer

if TYPE_CHECKING:
    from mcp import Client

_LARGEST_ANSWER_BYTES = 128 * 1024 * 1024


class StartFailed(Exception):  # A fact, told on as the reason of McpServerUnavailable.
    """A process ended, or said something else, before it had begun to speak the protocol; its last words say why."""


@asynccontextmanager
async def connected(name: str, server: McpServer, *, left_out: dict[str, str] | None = None) -> "AsyncIterator[Client]":
    """A client that has shaken hands; `left_out` gets the tools that no listing can hold, and why.

    Enter and leave it in one task: the SDK's task groups want that. Raises ConfigurationError, StartFailed, or whatever
    the SDK and the system raise.
    """
    # Imported here: it takes most of a second, and most processes never speak to a server.
    import httpx2
    from mcp import StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    # At lower levels it logs what servers say, which may be the content of answers.
    logging.getLogger("mcp.client").setLevel(logging.CRITICAL)
    odd = {} if left_out is None else left_out
    owner = server_as_owner(name)
    if server.url is not None:
        headers = {header: _secret(name, variable) for header, variable in server.headers.items()}
        timeout = httpx2.Timeout(server.connect_seconds, read=server.call_seconds)
        hooks = {"response": [bounded_async(httpx2, limit_bytes=_LARGEST_ANSWER_BYTES, each_event=True)]}
        async with httpx2.AsyncClient(
            headers={**ACCEPT_ENCODING, **headers}, timeout=timeout, event_hooks=hooks
        ) as http:
            transport = streamable_http_client(server.url, http_client=http)
            async with _client(tolerant(transport, odd, owner=owner), server) as client:
                yield client
        return
    environment = {key: _secret(name, key) for key in server.env}
    parameters = StdioServerParameters(
        command=str(server.command), args=list(server.args), env=environment, encoding_error_handler="replace"
    )
    # Shown only of one that does not even begin: later a server may print the arguments of calls.
    with StderrTail(list(environment.values())) as tail:
        has_begun = False
        try:
            transport = stdio_client(parameters, errlog=tail.file)
            async with _client(tolerant(transport, odd, owner=owner), server) as client:
                has_begun = True
                yield client
        except Exception as error:
            last_words = tail.text()
            if has_begun or not last_words:
                raise
            raise StartFailed(f"it ended at its start, and its last words were: {last_words}") from error


def _client(transport: Any, server: McpServer) -> "Client":
    from mcp import Client

    return Client(transport, read_timeout_seconds=server.connect_seconds, cache=None)


def _secret(server: str, variable: str, environment: Mapping[str, str] = os.environ) -> str:
    value = environment.get(variable)
    if value is None:
        raise ConfigurationError(
            f"the environment variable {variable!r}, which MCP_SERVERS names for the server {server!r}, is not set"
        )
    return value

"""The sessions of a worker with its MCP servers: one each, opened at the first call, and anew when it has died.

A session lives in a task of its own, because the SDK's task groups are entered and left in one task; calls come from
the tasks of steps.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from activities.errors import EffectUncertain
from activities.mcp.connection import StartFailed, connected
from activities.mcp.errors import (
    McpAnswerUnreadable,
    McpCallRefused,
    McpServerUnavailable,
    McpServerUnknown,
)
from activities.mcp.tool_names import split_name
from agentflow.errors import ConfigurationError
from agentflow.mcp_settings import McpServer
from observability.telemetry.logging import get_logger
from runs.tool_contract import ToolContract

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

_log = get_logger(__name__)

#: What the SDK raises of its own: the connection is closed, the time has run out.
_OF_THE_CLIENT = frozenset({-32000, -32001})
#: A server that is told to close and does not is left to the operating system.
_CLOSE_SECONDS = 10.0


class McpSessions:
    """One session with each server that a call has been made of."""

    def __init__(self, servers: Mapping[str, McpServer]) -> None:
        self._servers = servers
        self._sessions: dict[str, _Session] = {}
        #: Those that no further call is made of, until their last one has ended.
        self._retired: list[_Session] = []
        self._locks: dict[str, asyncio.Lock] = {}

    async def call(self, contract: ToolContract, arguments: Mapping[str, Any]) -> "CallToolResult":
        """What the tool answers, an error of its own included.

        Raises McpServerUnknown, McpServerUnavailable, McpCallRefused, McpAnswerUnreadable, ConfigurationError, or
        EffectUncertain when the call went out and no answer came.
        """
        parts = split_name(contract.name)
        if parts is None or parts[0] not in self._servers:
            raise McpServerUnknown(server=parts[0] if parts is not None else contract.name)
        server, tool = parts
        session = await self._session(server)
        with session.in_use():
            try:
                async with asyncio.timeout(self._servers[server].call_seconds):
                    return await session.client.call_tool(
                        tool, dict(arguments), read_timeout_seconds=self._servers[server].call_seconds
                    )
            except Exception as error:  # noqa: BLE001  # The edge to the SDK: what it raises depends on the transport.
                self._end_call(server, session, contract, error)

    async def close(self) -> None:
        """Ends every session; servers that were started are stopped."""
        sessions, self._sessions, self._retired = [*self._sessions.values(), *self._retired], {}, []
        await asyncio.gather(*(session.close() for session in sessions))

    async def _session(self, server: str) -> "_Session":
        async with self._locks.setdefault(server, asyncio.Lock()):
            session = self._sessions.get(server)
            if session is None or session.has_ended:
                session = self._sessions[server] = await _Session.opened(server, self._servers[server])
            return session

    def _end_call(self, server: str, session: "_Session", contract: ToolContract, error: Exception) -> NoReturn:
        from mcp import MCPError
        from mcp.client import InputRequiredRoundsExceededError, UnexpectedClaimedResult
        from pydantic import ValidationError

        if isinstance(error, MCPError) and error.code not in _OF_THE_CLIENT:
            # An answer, whatever it says.
            raise McpCallRefused(tool=contract.name, rpc_code=error.code) from None
        if isinstance(error, ValidationError | UnexpectedClaimedResult | InputRequiredRoundsExceededError):
            raise McpAnswerUnreadable(tool=contract.name, reason="it is not what the protocol asks for") from None
        # Whatever else went wrong, the next call begins afresh; one that is slow does not cut the others off.
        if self._sessions.get(server) is session:
            del self._sessions[server]
            self._retired = [*(retired for retired in self._retired if not retired.has_ended), session]
        session.retire()
        raise EffectUncertain(tool=contract.name, reason=reason_of(error)) from None


class _Session:
    """One session, in its task."""

    def __init__(self, name: str, server: McpServer) -> None:
        self._name, self._server = name, server
        self._stopped = asyncio.Event()
        self._calls, self._is_retired = 0, False
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live())

    @classmethod
    async def opened(cls, name: str, server: McpServer) -> "_Session":
        """A session that is ready; raises McpServerUnavailable or ConfigurationError."""
        session = cls(name, server)
        try:
            async with asyncio.timeout(server.connect_seconds):
                await asyncio.shield(session._ready)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001  # The edge to the SDK and to whatever the server is.
            raise McpServerUnavailable(server=name, reason=reason_of(error)) from None
        finally:
            if not session._ready.done() or session._ready.exception() is not None:
                await session.close()
        return session

    @property
    def client(self) -> "Client":
        return self._ready.result()

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A call; the last of a session that is retired ends it."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if self._is_retired and not self._calls:
                self._stopped.set()

    def retire(self) -> None:
        """Ends the session once nothing is under way in it."""
        self._is_retired = True

    async def close(self) -> None:
        """Ends the session and waits for that, for a while."""
        self._stopped.set()
        if not self._ready.done():
            self._task.cancel()
        done, _ = await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
        if not done:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)

    async def _live(self) -> None:
        try:
            async with connected(self._name, self._server) as client:
                # It throws away an answer that does not fit what the tool declares; we look at that ourselves.
                client.session.validate_tool_result = _take_it  # type: ignore[assignment,method-assign]  # No switch does it.
                self._ready.set_result(client)
                _log.info("mcp.session_opened", server=self._name)
                await self._stopped.wait()
        except asyncio.CancelledError:
            if not self._ready.done():
                self._ready.cancel()
            raise
        except BaseException as error:  # noqa: BLE001  # The edge of a task: whoever waits for it is told.
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                _log.warning("mcp.session_ended", server=self._name, reason=reason_of(error))


async def _take_it(_name: str, _result: "CallToolResult") -> None:
    return None


def reason_of(error: BaseException) -> str:
    """What went wrong, in a few words: messages of servers are not quoted."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, StartFailed):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    code = getattr(error, "code", None)
    return f"JSON-RPC error {code}" if isinstance(code, int) else type(error).__name__

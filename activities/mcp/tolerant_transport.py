"""Reads an MCP server's messages for what they mean, where they are not quite the protocol's.

The SDK refuses a whole listing for one odd tool, and an answer for one odd field: the call has then happened, and its
answer is gone. Here an odd tool is left out by itself, and an odd answer is put into the protocol's form: what has no
place in it is kept as text.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ValidationError

from agentflow.heavy_work import run_apart
from agentflow.large_values import beside_loop

if TYPE_CHECKING:
    from mcp.client import Transport

#: As the session takes it where nothing was agreed on.
_USUAL_VERSION = "2025-11-25"
#: Codes with which the SDK tells of its own failures (a connection that closed, a time that ran out), and one that
#: JSON-RPC leaves to servers: so that a server's answer is never taken for silence.
_CODES_OF_THE_CLIENT, INTERNAL_ERROR = frozenset({-32000, -32001}), -32603
_LONGEST_NAME = 200


def tolerant(
    transport: "Transport", left_out: dict[str, str], *, owner: str
) -> AbstractAsyncContextManager[tuple["_TolerantStream", Any]]:
    """The transport, with messages mended; `left_out` gets the names of odd tools, and why they cannot be used.

    Long messages are mended in turns of `owner` (`run_apart`).
    """

    @asynccontextmanager
    async def connected() -> AsyncIterator[tuple[_TolerantStream, Any]]:
        async with transport as (incoming, outgoing):
            yield _TolerantStream(incoming, left_out, owner), outgoing

    return connected()


class _TolerantStream:
    """The incoming messages of a session."""

    def __init__(self, incoming: Any, left_out: dict[str, str], owner: str) -> None:
        self._incoming, self._left_out, self._owner, self._version = incoming, left_out, owner, _USUAL_VERSION

    @property
    def last_context(self) -> Any:
        """Of the sender of the last message, where the transport knows it."""
        return getattr(self._incoming, "last_context", None)

    async def receive(self) -> Any:
        """The next message."""
        return await self._mended_aside(await self._incoming.receive())

    async def aclose(self) -> None:
        """Closes the stream."""
        await self._incoming.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._mended_aside(await self._incoming.__anext__())

    async def __aenter__(self) -> Self:
        await self._incoming.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> bool | None:
        ended: bool | None = await self._incoming.__aexit__(*error)
        return ended

    async def _mended_aside(self, item: Any) -> Any:
        """In a thread where the message is long: each of its tools and blocks is looked at by itself."""
        mend = partial(self._mended, item)
        if isinstance(item, ValidationError):
            return await run_apart(mend, owner=self._owner)
        result = getattr(getattr(item, "message", None), "result", None)
        return await beside_loop(mend, on=result, owner=self._owner)

    def _mended(self, item: Any) -> Any:
        from mcp.shared.message import SessionMessage
        from mcp_types import JSONRPCError, JSONRPCResponse

        if isinstance(item, ValidationError):
            item = _read_anyway(item) or item
        message = getattr(item, "message", None)
        if isinstance(message, JSONRPCResponse):
            result = self._mended_result(message.result)
            return SessionMessage(message.model_copy(update={"result": result}), metadata=item.metadata)
        if isinstance(message, JSONRPCError) and message.error.code in _CODES_OF_THE_CLIENT:
            error = message.error.model_copy(update={"code": INTERNAL_ERROR})
            return SessionMessage(message.model_copy(update={"error": error}), metadata=item.metadata)
        return item

    def _mended_result(self, result: dict[str, Any]) -> dict[str, Any]:
        if isinstance(result.get("protocolVersion"), str):
            self._version = result["protocolVersion"]
        if isinstance(result.get("tools"), list):
            return self._mended_listing(result)
        return mended_answer(result, self._version) if {"content", "structuredContent"} & set(result) else result

    def _mended_listing(self, result: dict[str, Any]) -> dict[str, Any]:
        kept = list[Any]()
        for tool in result["tools"]:
            problem = tool_problem(tool, self._version)
            name = tool.get("name") if isinstance(tool, Mapping) else None
            if problem is None:
                kept.append(tool)
            else:
                self._left_out[str(name)[:_LONGEST_NAME]] = problem
        mended = {**result, "tools": kept}
        if not isinstance(mended.get("nextCursor"), str):
            mended.pop("nextCursor", None)
        return mended


def tool_problem(tool: Any, version: str) -> str | None:
    """Why a listing with this tool is refused by the protocol; None when it is not."""
    from mcp_types import ListToolsResult

    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str) or not tool["name"]:
        return "it has no name"
    return _problem_of("tools/list", {"tools": [tool]}, version, ListToolsResult)


def mended_answer(result: dict[str, Any], version: str) -> dict[str, Any]:
    """The answer to a call in the protocol's form; what has no place in it becomes text."""
    from mcp_types import CallToolResult

    content = result.get("content", [])
    blocks = content if isinstance(content, list) else [content]
    mended: dict[str, Any] = {
        "content": [_mended_block(block, version) for block in blocks],
        "isError": result.get("isError", False) not in {False, None, "false"} if _is_plain(result) else True,
    }
    if "structuredContent" in result and result["structuredContent"] is not None:
        structured = {**mended, "structuredContent": result["structuredContent"]}
        if _problem_of("tools/call", structured, version, CallToolResult) is None:
            mended = structured
        elif not any(_says(block, result["structuredContent"]) for block in mended["content"]):
            mended["content"].append(_text(result["structuredContent"]))
    others = {key: value for key, value in result.items() if key not in {"content", "isError", "structuredContent"}}
    whole = {**others, **mended}
    return whole if _problem_of("tools/call", whole, version, CallToolResult) is None else mended


def _is_plain(result: Mapping[str, Any]) -> bool:
    return not isinstance(result.get("isError"), list | dict)


def _mended_block(block: Any, version: str) -> Any:
    from mcp_types import CallToolResult

    if isinstance(block, str):
        return {"type": "text", "text": block}
    return block if _problem_of("tools/call", {"content": [block]}, version, CallToolResult) is None else _text(block)


def _text(value: Any) -> dict[str, Any]:
    return {"type": "text", "text": json.dumps(value, ensure_ascii=False)}


def _says(block: Any, value: Any) -> bool:
    try:
        return bool(json.loads(block["text"]) == value)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _problem_of(method: str, result: dict[str, Any], version: str, model: type[BaseModel]) -> str | None:
    """Why the SDK would refuse a result; None when it would not."""
    from mcp_types import methods

    try:
        # It may know of no such version, and has no rules for it then.
        with suppress(KeyError):
            methods.validate_server_result(method, version, result)
        model.model_validate(result, by_name=False)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not isinstance(part, int) and part != "tools")
        return f"{where}: {first['msg'].lower()}"[:300]
    except (ValueError, RecursionError) as error:
        return f"its form cannot be read ({type(error).__name__})"
    return None


def _read_anyway(refused: ValidationError) -> Any:
    """The answer in a line that the SDK takes for no message: one nested deep, or whose result is no object."""
    from mcp.shared.message import SessionMessage
    from mcp_types import JSONRPCResponse

    for problem in refused.errors(include_url=False):
        line = _parsed(problem["input"])
        if isinstance(line, Mapping) and isinstance(line.get("id"), int | str) and {"result", "error"} & set(line):
            result = line.get("result")
            if not isinstance(result, dict):
                said = line["result"] if "result" in line else line["error"]
                result = {"content": [_text(said)], "isError": "result" not in line}
            return SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=line["id"], result=result))
    return None


def _parsed(line: Any) -> Any:
    try:
        return json.loads(line) if isinstance(line, str) else line
    except (ValueError, RecursionError):
        return None

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse

from activities.mcp.tolerant_transport import tolerant
from tests.watched_list import WatchedList

TEXT = {"type": "text", "text": "x"}
TOOL = {"name": "t", "inputSchema": {"type": "object"}}


async def received(result: dict[str, Any], left_out: dict[str, str]) -> Any:
    """The result as a session reads it that a server has sent."""
    there, here = anyio.create_memory_object_stream[SessionMessage | Exception](1)

    @asynccontextmanager
    async def transport() -> AsyncIterator[Any]:
        async with there, here:
            yield here, there

    message = JSONRPCResponse.model_construct(jsonrpc="2.0", id=1, result=result)
    async with tolerant(transport(), left_out, owner="s") as (incoming, _):
        await there.send(SessionMessage(message))
        return (await incoming.receive()).message.result


@pytest.mark.parametrize(("place", "item"), [("content", TEXT), ("tools", TOOL)])
async def test_a_long_message_is_mended_beside_the_loop(place: str, item: dict[str, Any]) -> None:
    items, left_out = WatchedList([*[item] * 3_000, 7]), dict[str, str]()

    result = await received({place: items}, left_out)

    assert [item] * 3_000 == result[place][:3_000]
    assert (place == "content") == (result[place][3_000:] == [{"type": "text", "text": "7"}])
    assert (place == "tools") == ({"None": "it has no name"} == left_out)
    assert len(items) <= sum(items.by_thread.values())
    assert not items.here()

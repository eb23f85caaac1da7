"""Calls of real MCP servers: over standard streams and over HTTP, and what becomes of servers that die."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from activities.errors import DocumentTooLarge, EffectUncertain
from activities.mcp.errors import (
    McpCallRefused,
    McpServerUnavailable,
    McpServerUnknown,
    McpToolFailed,
)
from activities.mcp.mcp_tool import mcp_tool
from activities.mcp.sessions import McpSessions
from activities.mcp.tool_listing import McpToolListing
from agentflow.errors import ConfigurationError
from agentflow.mcp_settings import McpServer
from agentflow.settings import Settings
from runs.tool_contract import ToolContract
from tests.mcp_server import http_server, stdio_server
from tests.mcp_server.http import running_http_server
from tests.mcp_server.memory_context import MemoryContext
from tests.workflows.platform import until


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
async def sessions(log: Path) -> AsyncIterator[McpSessions]:
    sessions = McpSessions({"tests": stdio_server(log=log)})
    yield sessions
    await sessions.close()


def contract(tool: str, **more: Any) -> ToolContract:
    return ToolContract(name=f"mcp:tests/{tool}", description="", **more)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def processes(log: Path) -> int:
    return sum(line.startswith("process") for line in lines(log))


async def test_structured_content_comes_beside_the_text(sessions: McpSessions) -> None:
    output = await mcp_tool(sessions, contract("weather")).call(MemoryContext(), {"city": "Bonn"})

    assert {"city": "Bonn", "degrees": 4} == output["structured"]
    assert '"Bonn"' in output["text"]
    assert [] == output["blobs"]


async def test_pictures_become_blobs(sessions: McpSessions) -> None:
    context = MemoryContext()

    output = await mcp_tool(sessions, contract("picture")).call(context, {})

    (blob,) = output["blobs"]
    assert ("a caption", "image/png", 15) == (output["text"], blob["media_type"], blob["size_bytes"])
    assert (b"\x89PNG not really", "image/png") == context.contents[blob["digest"]]


async def test_an_answer_that_is_too_large_is_refused(sessions: McpSessions) -> None:
    small = MemoryContext(Settings(max_document_bytes=10))

    with pytest.raises(DocumentTooLarge):
        await mcp_tool(sessions, contract("picture")).call(small, {})
    assert {} == small.contents


async def test_one_session_serves_all_calls_at_once(sessions: McpSessions, log: Path) -> None:
    calls = [sessions.call(contract("store"), {"key": str(number)}) for number in range(8)]

    await asyncio.gather(*calls)

    assert 1 == processes(log)
    assert {f"store {number}" for number in range(8)} <= set(lines(log))


async def test_a_tool_that_says_it_failed_is_an_error_without_its_words(sessions: McpSessions) -> None:
    with pytest.raises(McpToolFailed) as failure:
        await mcp_tool(sessions, contract("refuse")).call(MemoryContext(), {"reason": "the quiet part"})

    assert "the quiet part" not in str(failure.value)
    assert "the quiet part" in failure.value.text


async def test_a_session_that_died_is_opened_again(sessions: McpSessions, log: Path) -> None:
    with pytest.raises(EffectUncertain):
        await sessions.call(contract("die"), {"how": "at once"})

    await sessions.call(contract("store"), {"key": "after"})

    assert 2 == processes(log)
    assert "store after" in lines(log)


async def test_nobody_knows_of_a_call_that_no_answer_comes_to(sessions: McpSessions, log: Path) -> None:
    with pytest.raises(EffectUncertain):
        await sessions.call(contract("die_booking"), {"seat": "1a"})

    assert ["book 1a"] == lines(log)[1:]


async def test_a_call_that_takes_too_long_ends_and_the_next_one_finds_a_session(log: Path) -> None:
    sessions = McpSessions({"tests": stdio_server(log=log, call_seconds=0.5)})
    try:
        with pytest.raises(EffectUncertain, match="too long"):
            await sessions.call(contract("sleep"), {"seconds": 30})
        result = await sessions.call(contract("say"), {"text": "here"})
    finally:
        await sessions.close()

    assert not result.is_error


async def test_a_call_that_takes_too_long_does_not_cut_off_another(log: Path) -> None:
    sessions = McpSessions({"tests": stdio_server(log=log, call_seconds=3.0)})
    try:
        slow = asyncio.create_task(sessions.call(contract("sleep"), {"seconds": 30}))
        await sessions.call(contract("sleep"), {"seconds": 1.5})
        other = asyncio.create_task(sessions.call(contract("sleep"), {"seconds": 2.2}))
        with pytest.raises(EffectUncertain):
            await slow
        is_under_way = not other.done()
        result = await other
    finally:
        await sessions.close()

    assert is_under_way
    assert not result.is_error
    assert 1 == processes(log)


async def test_a_cancelled_call_leaves_the_session_alone(sessions: McpSessions, log: Path) -> None:
    await sessions.call(contract("store"), {"key": "before"})
    sleeping = asyncio.create_task(sessions.call(contract("sleep"), {"seconds": 30}))

    async def is_asleep() -> bool:
        return "sleep 30" in lines(log)

    await until(is_asleep)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping

    await sessions.call(contract("store"), {"key": "after"})

    assert 1 == processes(log)


async def test_closing_ends_the_process(sessions: McpSessions, log: Path) -> None:
    await sessions.call(contract("store"), {"key": "k"})
    process = int(lines(log)[0].split()[1])

    await sessions.close()

    assert not psutil.pid_exists(process)


async def test_a_process_sees_only_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TEST_SECRET", "shown")
    monkeypatch.setenv("MCP_TEST_OTHER", "hidden")
    sessions = McpSessions({"tests": stdio_server(env=("MCP_TEST_SECRET",))})
    try:
        output = await mcp_tool(sessions, contract("secret")).call(MemoryContext(), {})
    finally:
        await sessions.close()

    assert "shown None" == output["text"]


@pytest.mark.parametrize(
    ("server", "error"),
    [
        (McpServer(command="/no/such/command"), McpServerUnavailable),
        (McpServer(command="/bin/cat", connect_seconds=0.5), McpServerUnavailable),
        (McpServer(url="http://127.0.0.1:9/mcp"), McpServerUnavailable),
        (stdio_server(env=("MCP_TEST_MISSING",)), ConfigurationError),
    ],
)
async def test_a_server_that_is_not_there_is_told(server: McpServer, error: type[Exception]) -> None:
    sessions = McpSessions({"tests": server})
    with pytest.raises(error):
        await sessions.call(contract("say"), {"text": "x"})
    await sessions.close()

    found = await McpToolListing({"tests": server}).find(["mcp:tests/say"])

    assert "mcp server 'tests' does not answer" in found.problems["mcp:tests/say"]


async def test_a_server_without_a_name_in_the_settings_is_unknown(sessions: McpSessions) -> None:
    with pytest.raises(McpServerUnknown, match="MCP_SERVERS"):
        await sessions.call(ToolContract(name="mcp:other/say", description=""), {})


async def test_http_servers_are_called_with_the_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TEST_SECRET", "sesame")
    async with running_http_server(key="sesame") as port:
        server = http_server(port, headers={"X-Key": "MCP_TEST_SECRET"})
        sessions = McpSessions({"tests": server, "locked": http_server(port)})
        try:
            output = await mcp_tool(sessions, contract("weather")).call(MemoryContext(), {"city": "Bonn"})
            with pytest.raises(McpServerUnavailable):
                await sessions.call(ToolContract(name="mcp:locked/say", description=""), {"text": "x"})
            found = await McpToolListing({"tests": server}).find(["mcp:tests/weather", "mcp:tests/none"])
        finally:
            await sessions.close()

    assert {"city": "Bonn", "degrees": 4} == output["structured"]
    assert ["mcp:tests/weather"] == list(found.tools)
    assert "has no tool 'none'" in found.problems["mcp:tests/none"]


async def test_an_http_server_that_was_started_anew_is_found_again() -> None:
    async with running_http_server() as port:
        sessions = McpSessions({"tests": http_server(port)})
        await sessions.call(contract("say"), {"text": "one"})
    async with running_http_server(port=port):
        for _ in range(2):
            try:
                result = await sessions.call(contract("say"), {"text": "two"})
                break
            except (McpServerUnavailable, EffectUncertain):
                continue
        await sessions.close()

    assert "two" == result.content[0].text  # type: ignore[union-attr]  # a text, by the tool's own word


async def test_a_tool_that_the_server_does_not_have_is_refused_or_fails(sessions: McpSessions) -> None:
    with pytest.raises((McpCallRefused, McpToolFailed)):
        await mcp_tool(sessions, contract("none")).call(MemoryContext(), {})

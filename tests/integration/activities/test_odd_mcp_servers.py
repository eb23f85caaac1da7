"""Servers that are not quite the protocol's: an odd tool costs itself, and an answer is an answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.errors import DocumentTooLarge
from activities.mcp.errors import McpAnswerUnreadable, McpCallRefused, McpServerUnavailable, McpToolFailed
from activities.mcp.mcp_tool import mcp_tool
from activities.mcp.sessions import McpSessions
from activities.mcp.tool_listing import McpToolListing
from agentflow.settings import Settings
from runs.tool_contract import ToolContract
from scl.schema_validation import validate
from tests.mcp_server import server_of_oddities
from tests.mcp_server.memory_context import MemoryContext
from tests.mcp_server.odd_server import TOOLS

ODD = server_of_oddities()
NAMES = [f"mcp:odd/{name}" for name in TOOLS]


@pytest.fixture(scope="module")
async def contracts() -> dict[str, ToolContract]:
    return dict((await McpToolListing({"odd": ODD}).find(NAMES)).tools)


@pytest.fixture(scope="module")
async def sessions() -> AsyncIterator[McpSessions]:
    sessions = McpSessions({"odd": ODD})
    yield sessions
    await sessions.close()


async def test_an_odd_tool_costs_itself_and_says_why() -> None:
    found = await McpToolListing({"odd": ODD}).find(NAMES)

    reasons = {name.partition("/")[2]: problem for name, problem in found.problems.items()}
    left_out = ["without_type", "list_as_schema", "no_schema", "number_as_description", "foreign_reference", "draft_4"]
    assert {*left_out, "deep", "huge", "odd_output_schema"} == set(reasons)
    assert all("is offered and cannot be used: " in reason for reason in reasons.values())
    assert "inputSchema.type: field required" in reasons["without_type"]
    assert "'object'" in reasons["odd_output_schema"]
    assert "more than 65,536 bytes" in reasons["huge"]
    assert {"sound", "no_description", "ümläut/with.slash", "x" * 300, "missing", "foreign_output_reference"} <= {
        name.partition("/")[2] for name in found.tools
    }
    assert "no_description" == found.tools["mcp:odd/no_description"].description


@pytest.mark.parametrize(
    ("tool", "said", "structured"),
    [
        ("missing", "booked 7", None),
        ("wrong", '{"n": "one"}', None),
        ("null", "booked 7", None),
        ("list", "[1, 2]", None),
        ("good", '{"n":1}', {"n": 1}),
        ("scalar", "7", None),
        ("empty", "", None),
        ("bare_text", "just words", None),
        ("text_in_list", "just words", None),
        ("unknown_block", '{"type": "hologram", "data": 1}', None),
        ("half_block", '{"type": "text"}', None),
        ("odd_extras", "kept", None),
        ("result_is_list", '["kept"]', None),
        ("result_is_text", '"kept"', None),
    ],
)
async def test_an_answer_is_kept_whatever_its_form(
    sessions: McpSessions, contracts: dict[str, ToolContract], tool: str, said: str, structured: Any
) -> None:
    contract = contracts.get(f"mcp:odd/{tool}") or ToolContract(name=f"mcp:odd/{tool}", description="")
    called = mcp_tool(sessions, contract)

    output = await called.call(MemoryContext(), {})

    assert {"text": said, "structured": structured, "blobs": []} == output
    validate(output, dict(called.signature.output_schema or {}), where="output")


async def test_a_picture_without_the_declared_content_is_kept(sessions: McpSessions) -> None:
    output = await mcp_tool(sessions, ToolContract(name="mcp:odd/image", description="")).call(MemoryContext(), {})

    assert ["image/png"] == [blob["media_type"] for blob in output["blobs"]]


@pytest.mark.parametrize(
    ("tool", "error"),
    [
        ("nothing", McpAnswerUnreadable),
        ("odd_error", McpToolFailed),
        ("said_error", McpToolFailed),
        ("rpc_internal", McpCallRefused),
        ("rpc_like_closed", McpCallRefused),
        ("rpc_like_timeout", McpCallRefused),
        ("rpc_own", McpCallRefused),
        ("large", DocumentTooLarge),
    ],
)
async def test_a_refusal_is_an_answer_and_leaves_no_doubt(
    sessions: McpSessions, tool: str, error: type[Exception]
) -> None:
    context = MemoryContext(Settings(max_document_bytes=1_000_000))

    with pytest.raises(error):
        await mcp_tool(sessions, ToolContract(name=f"mcp:odd/{tool}", description="")).call(context, {})


async def test_a_server_that_ends_at_its_start_is_told_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD_SECRET", "sesame-open-up")
    dying = server_of_oddities("ModuleNotFoundError: no module", env=("ODD_SECRET",))
    sessions = McpSessions({"odd": dying})

    with pytest.raises(McpServerUnavailable) as away:
        await sessions.call(ToolContract(name="mcp:odd/sound", description=""), {})
    await sessions.close()
    found = await McpToolListing({"odd": dying}).find(["mcp:odd/sound"])

    for told in (str(away.value), found.problems["mcp:odd/sound"]):
        assert "Traceback | [31mModuleNotFoundError: no module | key [secret]" in told
        assert "sesame" not in told

"""Tool nodes that call a real MCP server."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from sqlalchemy import QueuePool

from activities.mcp.tool_listing import FoundTools, McpToolListing
from agentflow.database import Database
from tests.workflows.documents import QUICK_RETRY, dag
from tests.workflows.platform import Platform, succeeded
from workflows.document_compilation import DocumentCompiler
from workflows.errors import SpecInvalid
from workflows.service import RunRequest, WorkflowService


def calling(tool: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    node = {"id": "call", "type": "tool", "config": {"tool_name": f"mcp:tests/{tool}", "tool_args": arguments}, **more}
    return dag(f"mcp_{tool}", node, outputs={"given": "call.output"})


async def test_a_tool_node_calls_the_server_with_what_its_expressions_give(platform: Platform, org_id: str) -> None:
    view = succeeded(await platform.run(org_id, calling("weather", {"city": "{{ inputs.city }}"}), {"city": "Bonn"}))

    given = (view.outputs or {})["given"]
    assert {"city": "Bonn", "degrees": 4} == given["structured"]


async def test_a_picture_is_kept_as_long_as_the_run(platform: Platform, org_id: str) -> None:
    view = succeeded(await platform.run(org_id, calling("picture", {})))

    (blob,) = (view.outputs or {})["given"]["blobs"]
    assert b"\x89PNG not really" == await platform.resources.blobs.get(org_id=org_id, digest=blob["digest"])
    held = await platform.rows(
        "SELECT 1 FROM blob_holds WHERE org_id = :org_id AND run_id = :run_id AND digest = :digest",
        org_id=org_id,
        run_id=view.run.run_id,
        digest=blob["digest"],
    )
    assert 1 == len(held)


async def test_a_tool_that_says_it_failed_fails_the_node_once_and_its_words_stay_out_of_history(
    platform: Platform, org_id: str
) -> None:
    view = await platform.run(org_id, calling("refuse", {"reason": "the quiet part"}, retry=QUICK_RETRY))

    assert ("mcp.tool_failed", 1) == (view.run.error_code, view.nodes[0].attempts)
    assert "the quiet part" not in str(view.run.error_message)


async def test_a_reading_tool_whose_server_dies_is_called_again(platform: Platform, org_id: str) -> None:
    view = await platform.run(org_id, calling("die", {"how": "again"}, retry=QUICK_RETRY))

    assert ("tool.effect_uncertain", 3) == (view.run.error_code, view.nodes[0].attempts)


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("none", {}, ("unknown_tool", "mcp server 'tests' has no tool 'none'")),
        ("weather", {}, ("missing", "needs the argument 'city'")),
        ("weather", {"city": 3}, ("wrong_type", "string")),
    ],
)
async def test_what_does_not_fit_the_servers_word_does_not_compile(
    platform: Platform, org_id: str, tool: str, arguments: dict[str, Any], problem: tuple[str, str]
) -> None:
    document = calling(tool, arguments)

    with pytest.raises(SpecInvalid) as refusal:
        await platform.register(org_id, document)

    (found,) = refusal.value.problems
    assert problem[0] == found.code
    assert problem[1] in found.message


def request_for(name: str) -> RunRequest:
    return RunRequest(workflow_name=name, workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None)


class Watching(McpToolListing):
    """Notes how many connections of a database are in use while servers are asked."""

    def __init__(self, database: Database, settings: Any) -> None:
        super().__init__(settings)
        self._database = database
        self.in_use: list[int] = []

    async def find(self, names: Iterable[str]) -> FoundTools:
        pool = self._database.engine.pool
        assert isinstance(pool, QueuePool)
        self.in_use.append(pool.checkedout())
        return await super().find(names)


@pytest.fixture
async def own_database(platform: Platform) -> AsyncIterator[Database]:
    database = Database(str(platform.resources.settings.database_url))
    yield database
    await database.close()


async def test_no_connection_is_held_while_a_server_is_asked(
    platform: Platform, own_database: Database, org_id: str
) -> None:
    resources = platform.resources
    listing = Watching(own_database, resources.settings.mcp_servers)
    compiler = DocumentCompiler(resources.clock, mcp=listing)
    service = WorkflowService(own_database, resources.blobs, platform.temporal, resources.clock, compiler)
    document = json.dumps(calling("say", {"text": "x"}))

    await service.validate(org_id=org_id, text=document)
    await service.register(org_id=org_id, text=document)
    await service.get_workflow(org_id=org_id, name="mcp_say", version=None)
    await service.record(org_id=org_id, request=request_for("mcp_say"))

    assert [0, 0, 0, 0] == listing.in_use


@pytest.mark.parametrize(("tool", "text"), [("missing", "booked 7"), ("wrong", '{"n": "one"}'), ("list", "[1, 2]")])
async def test_what_a_tool_has_answered_is_never_in_doubt(
    platform: Platform, org_id: str, tool: str, text: str
) -> None:
    node = {"id": "call", "type": "tool", "config": {"tool_name": f"mcp:odd/{tool}", "tool_args": {}}}

    view = succeeded(await platform.run(org_id, dag(f"odd_{tool}", node, outputs={"given": "call.output"})))

    assert {"given": {"text": text, "structured": None, "blobs": []}} == view.outputs
    assert 1 == view.nodes[0].attempts


async def test_a_tool_that_cannot_be_used_says_why_and_the_others_go_on(platform: Platform, org_id: str) -> None:
    nodes = [
        {"id": name, "type": "tool", "config": {"tool_name": f"mcp:odd/{name}", "tool_args": {}}}
        for name in ("without_type", "sound")
    ]

    with pytest.raises(SpecInvalid) as refusal:
        await platform.register(org_id, dag("odd_tools", *nodes))

    (found,) = refusal.value.problems
    assert "cannot be used: inputSchema.type: field required" in found.message

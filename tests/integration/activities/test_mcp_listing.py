"""What the compiler is told of MCP servers: how often they are asked, and for how long their word counts."""

import threading
from pathlib import Path

import pytest

from activities.mcp import tool_listing
from activities.mcp.tool_listing import AWAY_SECONDS, FRESH_SECONDS, USABLE_SECONDS, McpToolListing
from agentflow.digest import Json
from agentflow.mcp_settings import McpServer
from scl.schema_validation import check_schema
from tests.mcp_server import stdio_server

AWAY = McpServer(command="/no/such/command")
BOOK = "mcp:tests/book"


class Moment:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moment() -> Moment:
    return Moment()


async def test_tools_come_with_schema_description_and_effect() -> None:
    found = await McpToolListing({"tests": stdio_server()}).find(["mcp:tests/weather", "mcp:tests/store", BOOK])

    weather = found.tools["mcp:tests/weather"]
    assert "The weather of a city." == weather.description
    assert ["city"] == (weather.input_schema or {})["required"]
    assert {"city", "degrees"} == set((weather.output_schema or {})["properties"]["structured"]["properties"])
    assert ["pure", "idempotent", "at_most_once"] == [tool.effect for tool in found.tools.values()]


async def test_a_server_is_asked_once_a_minute(moment: Moment, tmp_path: Path) -> None:
    log = tmp_path / "log"
    listing = McpToolListing({"tests": stdio_server(log=log)}, monotonic=moment)
    for seconds in (0.0, FRESH_SECONDS - 1, 2.0):
        moment.now += seconds
        await listing.find([BOOK, "mcp:tests/say"])

    assert 2 == len(log.read_text().splitlines())


async def test_schemas_are_checked_once_beside_the_loop_and_of_named_tools_only(
    moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked_by: list[int] = []

    def watched(schema: Json) -> None:
        checked_by.append(threading.get_ident())
        check_schema(schema)

    monkeypatch.setattr(tool_listing, "check_schema", watched)
    listing = McpToolListing({"tests": stdio_server()}, monotonic=moment)
    for _ in range(2):
        assert BOOK in (await listing.find([BOOK])).tools
        moment.now += FRESH_SECONDS + 1

    # That of its input and that of its output.
    assert 2 == len(checked_by)
    assert threading.get_ident() not in checked_by


async def test_the_last_word_of_a_server_that_is_away_counts_for_an_hour(moment: Moment) -> None:
    servers = {"tests": stdio_server()}
    listing = McpToolListing(servers, monotonic=moment)
    await listing.find([BOOK])
    servers["tests"] = AWAY

    moment.now += FRESH_SECONDS + 1
    assert BOOK in (await listing.find([BOOK])).tools
    moment.now += USABLE_SECONDS
    found = await listing.find([BOOK])

    assert {} == found.tools
    assert "mcp server 'tests' does not answer" in found.problems[BOOK]


async def test_a_server_that_was_away_is_asked_again_soon(moment: Moment) -> None:
    servers = {"tests": AWAY}
    listing = McpToolListing(servers, monotonic=moment)
    await listing.find([BOOK])
    servers["tests"] = stdio_server()

    assert BOOK in (await listing.find([BOOK])).problems
    moment.now += AWAY_SECONDS + 1
    assert BOOK in (await listing.find([BOOK])).tools


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("mcp:tests", "write mcp:<server>/<tool>"),
        ("mcp:other/book", "there is no mcp server 'other'; MCP_SERVERS configures: tests"),
    ],
)
async def test_a_name_that_leads_nowhere_is_told(name: str, problem: str) -> None:
    found = await McpToolListing({"tests": AWAY}).find([name])

    assert problem in found.problems[name]

"""One Temporal server for the whole session, and one platform with a scripted vendor on it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import Client

from activities.catalog import TOOLS
from agentflow.settings import Settings
from cli.embedded.temporal_server import TemporalDevServer
from tests.mcp_server import server_of_oddities, stdio_server
from tests.scripted_provider import ScriptedProvider
from tests.workflows.agency import Agency
from tests.workflows.leftovers import nothing_left, shared_platform  # noqa: F401  # fixtures
from tests.workflows.platform import Platform, platform_settings, running_platform
from tests.workflows.world import World, world_tools
from workflows.temporal_connection import data_converter


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[TemporalDevServer]:
    server = TemporalDevServer(None)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_server() -> Iterator[TemporalDevServer]:
    """A server whose tasks the session's workers do not take, and whose runs and builds are one module's alone."""
    server = TemporalDevServer(None)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def temporal(temporal_server: TemporalDevServer) -> Client:
    # As production connects: what is too large for a history is refused.
    return await Client.connect(temporal_server.address, data_converter=data_converter(Settings()))


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider() as provider:
        yield provider


@pytest.fixture(scope="session")
def world() -> World:
    """What the test tools change."""
    return World()


@pytest.fixture(scope="session")
async def platform(
    database_url: str,
    temporal: Client,
    provider: ScriptedProvider,
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    documents = tmp_path_factory.mktemp("documents")
    (documents / "letter.txt").write_text("Dear reader, write to ada@example.com or call +1 202-555-0142.")
    log = tmp_path_factory.mktemp("mcp") / "calls"
    settings = platform_settings(
        database_url,
        provider,
        buckets={"documents": documents.as_uri()},
        http_allowed_hosts=("127.0.0.1",),
        # Started by the first test that calls one of their tools.
        mcp_servers={"tests": stdio_server(log=log), "odd": server_of_oddities()},
    )
    async with running_platform(settings, temporal, provider, tools={**TOOLS, **world_tools(world)}) as platform:
        yield platform
        world.release_all()


@pytest.fixture
def agency(platform: Platform, org_id: str) -> Agency:
    return Agency(platform, org_id)

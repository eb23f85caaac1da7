"""One API server for the folder, on a platform with workers; two organisations of their own for each test."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
import structlog
from temporalio.client import Client

from activities.catalog import TOOLS
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.settings import Settings
from agentflow.tenant_repository import TenantRepository, new_api_key
from cli.embedded.temporal_server import TemporalDevServer
from tests.integration.api.api_server import ApiServer
from tests.scripted_provider import ScriptedProvider
from tests.workflows.leftovers import nothing_left, shared_platform  # noqa: F401  # fixtures
from tests.workflows.platform import Platform, platform_settings, running_platform
from tests.workflows.world import World, world_tools
from workflows.temporal_connection import connect_temporal

CODEC_KEY = "the-codec-endpoints-key-of-this-test"
PAYLOAD_KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An organisation with a key of its own."""

    org_id: str
    key_id: str
    api_key: str


async def new_tenant(database: Database) -> Tenant:
    org_id, api_key, now = new_id("org"), new_api_key(), SystemClock().now()
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        await tenants.ensure_organisation(org_id=org_id, name="A test's", now=now)
        key_id = await tenants.add_key(org_id=org_id, name="test", api_key=api_key, now=now)
    return Tenant(org_id=org_id, key_id=key_id, api_key=api_key)


def caller(url: str, api_key: str) -> httpx.AsyncClient:
    """Speaks to the server at `url` with a key."""
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60, trust_env=False)


@pytest.fixture(scope="session")
def temporal_server() -> Iterator[TemporalDevServer]:
    server = TemporalDevServer(None)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
async def temporal(settings: Settings) -> Client:
    return await connect_temporal(settings)


@pytest.fixture(scope="session")
async def provider() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider() as provider:
        yield provider


@pytest.fixture(scope="session")
def settings(
    database_url: str,
    temporal_server: TemporalDevServer,
    provider: ScriptedProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    documents = tmp_path_factory.mktemp("documents")
    (documents / "sample.txt").write_text("Dear reader, write to ada@example.com or call +1 202-555-0142.")
    return platform_settings(
        database_url,
        provider,
        buckets={"documents": documents.as_uri()},
        temporal_address=temporal_server.address,
        temporal_ui_url=temporal_server.ui_url,
        payload_keys={"of-these-tests": PAYLOAD_KEY},
        payload_key_id="of-these-tests",
        codec_endpoint_key=CODEC_KEY,
    )


@pytest.fixture(scope="session")
def world() -> World:
    """What the test tools change."""
    return World()


@pytest.fixture(scope="session")
async def platform(
    settings: Settings, temporal: Client, provider: ScriptedProvider, world: World
) -> AsyncIterator[Platform]:
    async with running_platform(settings, temporal, provider, tools={**TOOLS, **world_tools(world)}) as platform:
        yield platform


@pytest.fixture(scope="session")
def server(platform: Platform) -> Iterator[ApiServer]:
    """The API over the platform, whose workers do what it accepts."""
    before = structlog.get_config()
    # Untold, structlog prints a defect with every local variable of every frame, which takes minutes.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[plain])
    with ApiServer(platform.resources.settings, platform.resources.tools) as server:
        yield server
    structlog.configure(**before)


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await new_tenant(database)


@pytest.fixture
async def stranger(database: Database) -> Tenant:
    """Another organisation, whose data the tenant must never see."""
    return await new_tenant(database)


@pytest.fixture
async def api(server: ApiServer, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the server as the tenant."""
    async with caller(server.url, tenant.api_key) as http:
        yield http


@pytest.fixture
async def stranger_api(server: ApiServer, stranger: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the server as the other organisation."""
    async with caller(server.url, stranger.api_key) as http:
        yield http


@pytest.fixture
async def anonymous(server: ApiServer) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the server without a key."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        yield http

"""Worker processes that are killed with SIGKILL in the middle of a tool, which an installed plug-in brings."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from temporalio.client import Client

from activities.resources import Resources
from activities.tool_plugins import signatures_of
from agentflow.database import with_psycopg_driver
from agentflow.ids import new_id
from agentflow.schema_migration import upgrade_schema
from cli.embedded.temporal_server import TemporalDevServer
from cli.embedded.waiting import wait_until
from runs.models import StepState
from tests.deadline import deadline
from tests.scripted_provider import ScriptedProvider
from tests.workflows.documents import dag
from tests.workflows.platform import Platform, platform_settings, succeeded
from tests.workflows.test_doubts import PERFORMED, resolve
from tests.workflows.test_gates import opened
from workflows.document_compilation import DocumentCompiler
from workflows.service import WorkflowService
from workflows.temporal_connection import connect_temporal

_PLUG_IN = '''
import asyncio
import os
import signal
from pathlib import Path

from activities.tools.tool import Tool
from runs.effects import EffectClass
from runs.record_repository import RecordKey, RecordRepository
from runs.signatures import StepSignature

LOG = Path(__file__).parent


def note(name):
    """One more line; the first time kills this very process."""
    with (LOG / name).open("a") as file:
        file.write("done\\n")
    if (LOG / name).read_text().count("done") == 1:
        os.kill(os.getpid(), signal.SIGKILL)


async def put(context, arguments):
    key = RecordKey(org_id=context.org_id, collection="killed", key="one")
    version = await RecordRepository(context.session).put(key, "value")
    note("put")
    return version


async def act(context, arguments):
    note("act")
    return "done"


async def linger(context, arguments):
    """Takes long, until it has been begun twice."""
    with (LOG / "linger").open("a") as file:
        file.write("begun\\n")
    if (LOG / "linger").read_text().count("begun") == 1:
        await asyncio.sleep(60)
    return "done"


def tool(name, call, **more):
    signature = StepSignature(name=name, description="Dies.", input_schema={"type": "object"}, output_schema=None)
    return Tool(signature=signature, call=call, **more)


TOOLS = [
    tool("killed.put", put, transactional=True),
    tool("killed.act", act, effect=EffectClass.AT_MOST_ONCE),
    tool("killed.linger", linger, effect=EffectClass.PURE),
]
'''


@pytest.fixture
def own_temporal() -> Iterator[TemporalDevServer]:
    """One that no other worker polls."""
    server = TemporalDevServer(None)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_database_url(postgres_url: str) -> str:
    """One whose runs are all on that server: a sweeper closes what it does not find there."""
    name = new_id("test")
    engine = create_engine(with_psycopg_driver(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    url = str(engine.url.set(database=name).render_as_string(hide_password=False))
    upgrade_schema(url)
    return url


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package."""
    (tmp_path / "killed_tools.py").write_text(_PLUG_IN)
    information = tmp_path / "killed_tools-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: killed_tools\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[agentflow.tools]\nkilled = killed_tools:TOOLS\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
async def platform(
    own_database_url: str, own_temporal: TemporalDevServer, provider: ScriptedProvider, plug_in: Path
) -> AsyncIterator[Platform]:
    """A platform without workers in this process."""
    settings = platform_settings(own_database_url, provider, temporal_address=own_temporal.address)
    resources = Resources(settings)
    assert (plug_in / "killed_tools.py").exists()
    temporal: Client = await connect_temporal(settings)
    platform = Platform(
        resources=resources, temporal=temporal, provider=provider, service=_service(resources, temporal)
    )
    yield platform
    await resources.close()


def _service(resources: Resources, temporal: Client) -> WorkflowService:
    compiler = DocumentCompiler(resources.clock, signatures_of(resources.tools))
    return WorkflowService(resources.database, resources.blobs, temporal, resources.clock, compiler)


@asynccontextmanager
async def worker(platform: Platform, plug_in: Path, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process, with `more` in its environment."""
    settings = platform.resources.settings
    environment = {
        **os.environ,
        "PYTHONPATH": f"{plug_in}{os.pathsep}{Path(__file__).parents[2]}",
        "DATABASE_URL": str(settings.database_url),
        "TEMPORAL_ADDRESS": settings.temporal_address,
        "VAULT_KEY": settings.vault_key.get_secret_value() if settings.vault_key is not None else "",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workflows.worker"), env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with deadline("a worker that was told to stop"):
            await process.wait()


async def test_what_a_killed_worker_was_doing_is_neither_lost_nor_done_twice(
    platform: Platform, plug_in: Path, org_id: str
) -> None:
    more = {"timeout": {"run": "30s", "idle": "1s"}, "retry": {"attempts": 1, "initial": 0.05, "max": 0.1}}
    document = dag(
        "killed",
        {"id": "put", "type": "tool", "config": {"tool_name": "killed.put", "tool_args": {}}, **more},
        {
            "id": "act",
            "type": "tool",
            "config": {"tool_name": "killed.act", "tool_args": {}},
            "depends": ["put"],
            **more,
        },
        outputs={"version": "put.output", "act": "act.output"},
    )
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, "killed")

    for _ in ("in the middle of its transaction", "right after its effect"):
        async with worker(platform, plug_in) as process, deadline("the worker to be killed by its tool"):
            assert -signal.SIGKILL == await process.wait()
    async with worker(platform, plug_in):
        gate = await opened(platform, org_id, run_id)
        await resolve(platform, gate, PERFORMED, output="seen")
        view = succeeded(await platform.ended(org_id, run_id))

    put, act = await platform.steps(org_id, run_id)
    rows = await platform.rows("SELECT version FROM records WHERE org_id = :org_id", org_id=org_id)
    assert ({"version": 1, "act": "seen"}, [{"version": 1}]) == (view.outputs, rows)
    assert ("done\ndone\n", "done\n") == ((plug_in / "put").read_text(), (plug_in / "act").read_text())
    assert (StepState.COMMITTED, 2, StepState.COMMITTED) == (put.state, put.attempt, act.state)


async def test_a_step_whose_worker_is_stopped_goes_on_at_another_and_loses_none_of_its_attempts(
    platform: Platform, plug_in: Path, org_id: str
) -> None:
    config = {"tool_name": "killed.linger", "tool_args": {}}
    more = {"timeout": {"run": "2m"}, "retry": {"attempts": 1}}
    await platform.register(org_id, dag("stopped", {"id": "linger", "type": "tool", "config": config, **more}))
    run_id = await platform.submit(org_id, "stopped")

    async with (
        worker(platform, plug_in, WORKER_GRACE_SECONDS="0.2") as process,
        deadline("the worker to begin its step, and to stop", seconds=120),
    ):
        assert await asyncio.to_thread(wait_until, (plug_in / "linger").exists, timeout_seconds=60)
        process.terminate()
        assert 0 == await process.wait()
    async with worker(platform, plug_in):
        view = succeeded(await platform.ended(org_id, run_id))

    assert (2, 2) == (view.nodes[0].attempts, (plug_in / "linger").read_text().count("begun"))

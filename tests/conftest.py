"""What every test stands on: a real PostgreSQL, migrated once, and a tenant of its own for each test."""

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from agentflow.clock import SystemClock
from agentflow.database import Database, with_psycopg_driver
from agentflow.ids import new_id
from agentflow.loaded_memory import keep_what_is_loaded
from agentflow.process_exit import exit_process
from agentflow.schema_migration import upgrade_schema
from agentflow.settings import Settings

#: What libraries set in their own process when they are first imported.
_SET_BY_IMPORTS = {"LITELLM_LOCAL_MODEL_COST_MAP", "OMP_WAIT_POLICY", "PYTEST_CURRENT_TEST", "TIKTOKEN_CACHE_DIR"}


def pytest_configure() -> None:
    """Whatever the machine or its user has configured for AgentFlow is not for the tests."""
    for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
        del os.environ[name]
    os.environ["AGENTFLOW_CONFIG"] = str(Path(__file__).with_name("no_settings.yaml"))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves as every process of ours does; see agentflow.process_exit."""
    exit_status = getattr(config, "_agentflow_exit_status", None)
    if exit_status is not None:
        exit_process(int(exit_status))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config._agentflow_exit_status = exitstatus  # type: ignore[attr-defined]  # a note to the hook above


@pytest.fixture(scope="session", autouse=True)
def _postgres_home() -> Iterator[None]:
    """As root, embedded servers have their data here: they run as a user who does not reach the tests' own folders."""
    with tempfile.TemporaryDirectory(prefix="agentflow-postgres-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        os.environ["AGENTFLOW_POSTGRES_HOME"] = folder
        yield
        del os.environ["AGENTFLOW_POSTGRES_HOME"]


@pytest.fixture(scope="module")
def own_heap() -> Iterator[None]:
    """Takes what other tests have made out of the collector's sight, as a process of ours does with what it has loaded.

    To go through all of that takes half a second, which is nothing that the code of a test has kept its loop with.
    """
    keep_what_is_loaded()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """No test changes environment or folder for those after it; set up first, it looks when all else is taken back."""
    environment, folder = _environment(), Path.cwd()
    yield
    left, folder_left = _environment(), Path.cwd()
    changed = {name for name in environment.keys() | left.keys() if environment.get(name) != left.get(name)}
    for name in changed:
        os.environ.pop(name, None)
        os.environ.update({name: environment[name]} if name in environment else {})
    os.chdir(folder)
    assert (set(), folder) == (changed, folder_left), "the test has left its environment or its folder behind"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _SET_BY_IMPORTS}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: the one that TEST_DATABASE_URL names, one in a container, or an embedded one."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield named
        return
    if _docker_answers():
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer("postgres:18", driver=None) as container:
            yield container.get_connection_url()
        return
    from cli.embedded.postgres import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="agentflow-test-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        url = server.start()
        try:
            yield url
        finally:
            server.stop()


def _docker_answers() -> bool:
    """Whether there is a Docker engine, and not only its client."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.fixture(scope="session")
def database_url(postgres_url: str) -> str:
    """A fresh, migrated database."""
    name = new_id("test")
    engine = create_engine(with_psycopg_driver(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    url = str(engine.url.set(database=name).render_as_string(hide_password=False))
    upgrade_schema(url)
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def org_id() -> str:
    """A tenant that no other test uses."""
    return new_id("org")


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()

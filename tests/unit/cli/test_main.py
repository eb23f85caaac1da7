import json
import os
import socket
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

from cli.exit_codes import ExitCode
from cli.main import agentctl, main
from tests.unit.cli.answering_server import AnsweringServer

COMMANDS = [
    "dev",
    "demo",
    "config",
    "workflow",
    "approval",
    "prompt",
    "budget",
    "trace",
    "queue",
    "key",
    "worker",
    "status",
]


def test_help_lists_every_command_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--help"])

    out, err = capsys.readouterr()
    listing = out.partition("Commands:\n")[2].splitlines()
    assert ExitCode.OK == code
    assert COMMANDS == [line.split()[0] for line in listing]
    assert all(line.endswith(".") for line in listing)
    assert not err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_help_lists_can_be_asked_for_its_own(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert ExitCode.OK == main([name, "--help"])
    assert f"agentctl {name}" in capsys.readouterr().out


def test_without_a_command_the_help_is_shown_as_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([])

    out, err = capsys.readouterr()
    assert ExitCode.USAGE == code
    assert "Commands:" in err
    assert not out


@pytest.mark.parametrize(
    ("typed", "meant"), [("workflw", "workflow"), ("prompts", "prompt"), ("statsu", "status"), ("budgets", "budget")]
)
def test_a_mistyped_command_is_a_usage_error_that_says_what_may_be_meant(
    capsys: pytest.CaptureFixture[str], typed: str, meant: str
) -> None:
    code = main([typed, "list"])

    assert ExitCode.USAGE == code
    assert f"No such command {typed!r}. Did you mean {meant!r}?" in capsys.readouterr().err


def test_a_command_that_resembles_none_is_a_usage_error_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.USAGE == main(["xyzzy"])
    assert "Did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["status", "--nonsense"],
        ["status", "--output", "xml"],
        ["workflow", "nonsense"],
        ["workflow", "submit"],
        ["budget", "create", "--period", "daily", "--limit", "-1"],
        ["prompt", "get", "name@latest"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code = main(arguments)

    out, err = capsys.readouterr()
    assert ExitCode.USAGE == code
    assert "Error: " in err
    assert not out


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.OK == main(["--version"])
    assert f"agentctl {version('agentflow-platform')}\n" == capsys.readouterr().out


@pytest.mark.parametrize("program", ["import cli.main", "import cli.main; cli.main.main(['--help'])"])
def test_the_program_and_its_help_need_no_heavy_library(program: str) -> None:
    heavy = ("httpx", "temporalio", "sqlalchemy", "pydantic", "rich", "yaml", "agentflow.settings")
    question = f"import sys; {program}; print([name for name in {heavy} if name in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)

    assert "[]" == answer.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, ExitCode.NOT_AUTHORISED),
        (403, ExitCode.NOT_AUTHORISED),
        (404, ExitCode.ERROR),
        (409, ExitCode.ERROR),
        (422, ExitCode.ERROR),
        (500, ExitCode.ERROR),
        (503, ExitCode.ERROR),
    ],
)
def test_a_refusal_of_the_server_ends_the_command_with_its_words_and_a_code(
    capsys: pytest.CaptureFixture[str], server: AnsweringServer, status: int, code: ExitCode
) -> None:
    server.refuse("/api/v1/workflows/runs/run_1", status, code="some.code", detail="it cannot be, because of a rule")

    found = main(["workflow", "status", "run_1"])

    out, err = capsys.readouterr()
    assert code == found
    assert "Error: it cannot be, because of a rule\n" == err
    assert not out


def test_a_refusal_that_is_no_problem_document_is_told_by_its_status(
    capsys: pytest.CaptureFixture[str], server: AnsweringServer
) -> None:
    server.answer("/api/v1/budgets/status", "I am a teapot", status=418)

    assert ExitCode.ERROR == main(["budget", "status"])
    assert "418" in capsys.readouterr().err


def test_a_refusal_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str], server: AnsweringServer) -> None:
    server.refuse("/api/v1/budgets", 422, code="some.code", detail="bad \x1b[2J name\r\nin line 2")

    main(["budget", "list"])

    assert "Error: bad ?[2J name?\nin line 2\n" == capsys.readouterr().err


@pytest.mark.usefixtures("home")
def test_a_server_that_does_not_answer_is_an_error_with_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    code = main(["--api-url", url, "status"])

    out, err = capsys.readouterr()
    assert ExitCode.ERROR == code
    assert f"no AgentFlow API answers at {url}" in err
    assert not out


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"status": "ok", "database": "ok", "temporal": "ok"}, 200, ExitCode.OK),
        ({"status": "degraded", "database": "ok", "temporal": "unreachable"}, 503, ExitCode.ERROR),
    ],
)
def test_status_shows_the_servers_parts_and_tells_by_its_code_whether_all_answer(
    capsys: pytest.CaptureFixture[str], server: AnsweringServer, answer: dict[str, str], status: int, code: ExitCode
) -> None:
    server.answer("/ready", answer, status=status)

    assert code == main(["status", "-o", "json"])
    assert {"api_url": server.url, **answer} == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["--help"], ["config", "--help"], ["config", "show"]])
@pytest.mark.usefixtures("home")
def test_a_reader_that_goes_away_is_no_error(arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments], stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)

    assert (ExitCode.OK, b"") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), ExitCode.CANCELLED),
        (click.Abort(), ExitCode.CANCELLED),
        (click.ClickException("no"), ExitCode.ERROR),
        (click.BadParameter("no"), ExitCode.USAGE),
    ],
    ids=repr,
)
def test_each_way_in_which_a_command_can_end_has_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: ExitCode
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(agentctl, "get_command", lambda _context, _name: click.Command("status", callback=fail))

    assert code == main(["status"])
    assert not capsys.readouterr().out


def test_a_defect_shows_itself_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(agentctl, "get_command", lambda _context, _name: click.Command("status", callback=fail))

    with pytest.raises(ZeroDivisionError):
        main(["status"])

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cli.config_file import config_path, read_config, write_config
from cli.exit_codes import ExitCode
from cli.main import agentctl, main
from tests.unit.cli.answering_server import AnsweringServer

pytestmark = pytest.mark.usefixtures("home")

KEY = "af_abcdefghijklmnopqrstuvwxyz"
WORKFLOWS = "/api/v1/workflows"
NONE_YET: dict[str, Any] = {"items": [], "next_cursor": None}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_writes_a_file_for_its_owner_only_and_says_what_comes_next(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "deep" / "er" / "agentctl.yaml"
    monkeypatch.setenv("AGENTCTL_CONFIG", str(path))

    assert ExitCode.OK == main(["config", "init", "--api-url", "https://flow.example/"])

    assert {"api_url": "https://flow.example"} == read_config()
    assert (0o600, 0o700) == (mode_of(path), mode_of(path.parent))
    out, err = capsys.readouterr()
    assert str(path) in err
    assert "agentctl config login" in err
    assert not out


def test_init_leaves_a_file_that_is_there_unless_it_is_forced(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config({"api_url": "http://kept", "api_key": KEY})

    assert ExitCode.ERROR == main(["config", "init"])
    assert {"api_url": "http://kept", "api_key": KEY} == read_config()
    assert "--force" in capsys.readouterr().err

    assert ExitCode.OK == main(["config", "init", "--force"])
    assert {"api_url": "http://127.0.0.1:8080"} == read_config()
    assert ["agentctl.yaml"] == [file.name for file in home.iterdir()]


def test_set_changes_one_value_keeps_the_other_and_repairs_the_mode() -> None:
    write_config({"api_url": "http://kept"})
    config_path().chmod(0o644)

    assert ExitCode.OK == main(["config", "set", "api_key", KEY])
    assert ExitCode.OK == main(["config", "set", "api_url", "http://changed/"])

    assert {"api_url": "http://changed", "api_key": KEY} == read_config()
    assert 0o600 == mode_of(config_path())


@pytest.mark.parametrize("value", ["12345", "true", "null", "2025-01-01", "a: b", "#", "'", " x "])
def test_a_value_comes_back_as_it_was_set_whatever_yaml_would_take_it_for(value: str) -> None:
    main(["config", "set", "api_key", value])

    assert {"api_key": value} == read_config()


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "api_url", "flow.example"],
        ["set", "api_url", "ftp://flow.example"],
        ["init", "--api-url", "localhost:8080"],
        ["set", "apikey", KEY],
        ["set", "api_key"],
    ],
)
def test_what_is_no_setting_is_a_usage_error_and_writes_nothing(arguments: list[str]) -> None:
    assert ExitCode.USAGE == main(["config", *arguments])
    assert not config_path().exists()


def test_show_tells_of_the_key_only_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    write_config({"api_url": "http://file", "api_key": KEY})

    main(["config", "show"])

    expected = [
        f"File     {config_path()}",
        "API      http://file (from configuration)",
        "API key  af_abc… (from configuration)",
    ]
    assert expected == capsys.readouterr().out.splitlines()


def test_show_gives_programs_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_API_KEY", KEY)

    main(["config", "show", "-o", "json"])
    from_json = json.loads(capsys.readouterr().out)
    main(["config", "show", "-o", "yaml"])
    from_yaml = yaml.safe_load(capsys.readouterr().out)

    expected = {
        "file": str(config_path()),
        "api_url": "http://127.0.0.1:8080",
        "api_url_source": "default",
        "api_key": "af_abc…",
        "api_key_source": "AGENTFLOW_API_KEY",
    }
    assert expected == from_json
    assert expected == from_yaml


def test_show_without_a_key_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "show"])

    assert "API key  none" in capsys.readouterr().out


def test_login_keeps_a_key_that_the_server_takes(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer(WORKFLOWS, NONE_YET)

    assert ExitCode.OK == main(["config", "login", "--api-key", f" {KEY}\n"])

    assert {"api_url": server.url, "api_key": KEY} == read_config()
    assert [f"Bearer {KEY}"] == [asked.authorization for asked in server.asked]
    out, err = capsys.readouterr()
    assert KEY not in out + err


def test_login_asks_for_the_key_without_showing_it(server: AnsweringServer) -> None:
    server.answer(WORKFLOWS, NONE_YET)

    result = CliRunner().invoke(agentctl, ["config", "login"], input=f"{KEY}\n")

    assert 0 == result.exit_code
    assert "API key: " in result.stderr
    assert KEY not in result.output
    assert KEY == read_config()["api_key"]


def test_login_without_an_answer_is_given_up(server: AnsweringServer) -> None:
    result = CliRunner().invoke(agentctl, ["config", "login"], input="")

    assert 0 != result.exit_code
    assert [] == server.asked
    assert not config_path().exists()


@pytest.mark.parametrize(("status", "code"), [(401, ExitCode.NOT_AUTHORISED), (500, ExitCode.ERROR)])
def test_login_keeps_nothing_when_the_server_refuses(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str], status: int, code: ExitCode
) -> None:
    write_config({"api_key": "af_the-one-before"})
    server.refuse(WORKFLOWS, status, code="some.code", detail="the key is not known")

    assert code == main(["config", "login", "--api-key", KEY])

    assert {"api_key": "af_the-one-before"} == read_config()
    assert "the key is not known" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"api_url: [unclosed",
        b"api_key: \xff",
        b"\x00",
        b"api_url: 2025-99-99",
        b"- a list",
        b"just a text",
        b"api_key: 12345",
        b"api_key:",
        b"apikey: af_x",
        b"1: a\nb: c",
        b"? [a]\n: b",
    ],
)
def test_a_file_that_is_no_configuration_is_named_and_not_quoted(
    capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    config_path().write_bytes(content)

    assert ExitCode.ERROR == main(["config", "show"])

    out, err = capsys.readouterr()
    assert err.startswith(f"Error: {config_path()}")
    assert "12345" not in err
    assert not out


def test_a_file_that_cannot_be_read_can_be_written_anew() -> None:
    config_path().write_text("api_url: [unclosed", encoding="utf-8")

    assert ExitCode.ERROR == main(["config", "set", "api_key", KEY])
    assert ExitCode.OK == main(["config", "init", "--force"])
    assert ["api_url"] == list(read_config())


@pytest.mark.parametrize("content", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file_configures_nothing(content: str) -> None:
    config_path().write_text(content, encoding="utf-8")

    assert {} == read_config()


def test_a_place_that_no_file_can_have_is_an_error_with_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("AGENTCTL_CONFIG", str(home / "file" / "agentctl.yaml"))

    assert ExitCode.ERROR == main(["config", "set", "api_key", KEY])

    err = capsys.readouterr().err
    assert str(home / "file" / "agentctl.yaml") in err
    assert KEY not in err


def test_the_file_stands_in_the_users_configuration_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTCTL_CONFIG")
    monkeypatch.setenv("HOME", str(home))
    assert home / ".config" / "agentflow" / "agentctl.yaml" == config_path()

    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert home / "xdg" / "agentflow" / "agentctl.yaml" == config_path()


def test_a_file_that_cannot_be_read_at_all_is_an_error_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A regular file whose first bytes not even root can read.
    monkeypatch.setenv("AGENTCTL_CONFIG", "/proc/self/mem")

    assert ExitCode.ERROR == main(["config", "show"])
    assert "/proc/self/mem cannot be read" in capsys.readouterr().err

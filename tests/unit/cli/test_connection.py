from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cli.config_file import write_config
from cli.connection import DEFAULT_API_URL, Connection, find_connection
from cli.embedded.stack_record import StackLock, StackRecord
from cli.main import agentctl, main
from tests.unit.cli.answering_server import AnsweringServer

StackStarter = Callable[[str], None]
STACK_URL = "http://127.0.0.1:18080"
STACK = "the stack in .agentflow"


@pytest.fixture
def stack_here(home: Path) -> Iterator[StackStarter]:
    """Makes this folder's stack one that runs, with a key, at an address."""
    folder = home / ".agentflow"
    folder.mkdir()
    (folder / "key").write_text("af_of-the-stack\n", encoding="ascii")
    lock = StackLock(folder)
    lock.acquire()

    def start(url: str) -> None:
        addresses = {"api": url, "api_key_file": str(folder / "key")}
        StackRecord(state="ready", supervisor_pid=1, addresses=addresses, pids={}).write(folder)

    yield start
    lock.release()


def find(*, api_url: str | None = None, api_key: str | None = None) -> Connection:
    """The connection of a command with these options."""
    return find_connection(click.Context(agentctl, obj={"api_url": api_url, "api_key": api_key}))


def configure(monkeypatch: pytest.MonkeyPatch, stack_here: StackStarter) -> None:
    """Gives every place a server and a key of its own."""
    monkeypatch.setenv("AGENTFLOW_API_URL", "http://environment")
    monkeypatch.setenv("AGENTFLOW_API_KEY", "af_environment")
    write_config({"api_url": "http://file", "api_key": "af_file"})
    stack_here(STACK_URL)


def test_options_win_over_everything(monkeypatch: pytest.MonkeyPatch, stack_here: StackStarter) -> None:
    configure(monkeypatch, stack_here)

    found = find(api_url="http://option", api_key="af_option")

    assert ("http://option", "--api-url") == (found.api_url, found.api_url_source)
    assert ("af_option", "--api-key") == (found.api_key, found.api_key_source)


def test_the_environment_wins_over_the_configuration(monkeypatch: pytest.MonkeyPatch, stack_here: StackStarter) -> None:
    configure(monkeypatch, stack_here)

    found = find()

    assert ("http://environment", "AGENTFLOW_API_URL") == (found.api_url, found.api_url_source)
    assert ("af_environment", "AGENTFLOW_API_KEY") == (found.api_key, found.api_key_source)


def test_the_configuration_wins_over_a_stack_right_here(
    monkeypatch: pytest.MonkeyPatch, stack_here: StackStarter
) -> None:
    configure(monkeypatch, stack_here)
    monkeypatch.delenv("AGENTFLOW_API_URL")
    monkeypatch.setenv("AGENTFLOW_API_KEY", "")

    found = find()

    assert ("http://file", "configuration") == (found.api_url, found.api_url_source)
    assert ("af_file", "configuration") == (found.api_key, found.api_key_source)


def test_a_stack_right_here_wins_over_the_default(stack_here: StackStarter) -> None:
    stack_here(STACK_URL)

    found = find()

    assert (STACK_URL, STACK) == (found.api_url, found.api_url_source)
    assert ("af_of-the-stack", STACK) == (found.api_key, found.api_key_source)


@pytest.mark.usefixtures("home")
def test_with_nothing_configured_there_is_the_default_and_no_key() -> None:
    found = find()

    assert (DEFAULT_API_URL, "default") == (found.api_url, found.api_url_source)
    assert (None, "nowhere") == (found.api_key, found.api_key_source)


@pytest.mark.usefixtures("home")
def test_server_and_key_may_come_from_two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_API_KEY", "af_environment")
    write_config({"api_url": "http://file"})

    assert ("http://file", "af_environment") == (find().api_url, find().api_key)


def test_a_stack_that_does_not_run_is_not_spoken_to(home: Path) -> None:
    (home / ".agentflow").mkdir()
    StackRecord(state="ready", supervisor_pid=1, addresses={"api": STACK_URL}, pids={}).write(home / ".agentflow")

    assert (DEFAULT_API_URL, None) == (find().api_url, find().api_key)


def test_the_stacks_key_goes_to_the_stack(
    server: AnsweringServer, stack_here: StackStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("/api/v1/budgets", {"items": [], "next_cursor": None})
    stack_here(server.url)
    monkeypatch.delenv("AGENTFLOW_API_URL")
    monkeypatch.delenv("AGENTFLOW_API_KEY")

    assert 0 == main(["budget", "list"])
    assert 0 == main(["--api-url", server.url, "budget", "list"])
    assert ["Bearer af_of-the-stack"] * 2 == [asked.authorization for asked in server.asked]


@pytest.mark.parametrize("where", ["option", "environment", "configuration"])
def test_the_stacks_key_goes_to_no_other_server(
    server: AnsweringServer, stack_here: StackStarter, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    server.answer("/api/v1/budgets", {"items": [], "next_cursor": None})
    stack_here(STACK_URL)
    monkeypatch.delenv("AGENTFLOW_API_KEY")
    if where != "environment":
        monkeypatch.delenv("AGENTFLOW_API_URL")
    if where == "configuration":
        write_config({"api_url": server.url})

    code = main([*(["--api-url", server.url] if where == "option" else []), "budget", "list"])

    assert 0 == code
    assert [None] == [asked.authorization for asked in server.asked]


def test_a_configured_key_goes_to_no_other_server_than_the_configured_one() -> None:
    write_config({"api_url": "http://127.0.0.1:1001", "api_key": "af_configured"})

    here, elsewhere = find(), find(api_url="http://127.0.0.1:1002")

    assert "af_configured" == here.api_key
    assert elsewhere.api_key is None

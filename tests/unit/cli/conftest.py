"""A user with nothing configured, and a server for commands to speak to."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.answering_server import AnsweringServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in; the configuration file would be `agentctl.yaml` in it."""
    for name in ("AGENTFLOW_API_URL", "AGENTFLOW_API_KEY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    # A proxy of this machine is not to stand between a command and the server of a test.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("AGENTCTL_CONFIG", str(tmp_path / "agentctl.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringServer]:  # noqa: ARG001
    """A server that the environment names, with a key for it."""
    with AnsweringServer() as server:
        monkeypatch.setenv("AGENTFLOW_API_URL", server.url)
        monkeypatch.setenv("AGENTFLOW_API_KEY", "af_of-the-environment")
        yield server


@pytest.fixture
def half_past_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's clock is five and a half hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "AHEAD-05:30")
        time.tzset()
        yield
    time.tzset()

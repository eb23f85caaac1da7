"""Keeps the stack's PostgreSQL running: it is a daemon, so it is watched rather than waited for."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agentflow.schema_migration import upgrade_schema
from cli.embedded.backoff import Backoff
from cli.embedded.errors import StartCancelled
from cli.embedded.postgres import EmbeddedPostgres

log = logging.getLogger(__name__)

DATABASE = "agentflow"
_WATCH_SECONDS = 0.5
#: Longer than what may not be interrupted: ending the processes of a server that was killed.
_JOIN_SECONDS = 60.0


class PostgresKeeper:
    """A server with the migrated database `agentflow`, started again when it crashes."""

    name = "postgres"

    def __init__(
        self, folder: Path, *, on_restart: Callable[[], None] = lambda: None, backoff: Backoff | None = None
    ) -> None:
        self._server = EmbeddedPostgres(folder)
        self._on_restart = on_restart
        self._backoff = backoff or Backoff()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._url: str | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the server could not be started again, when that was tried last; None when it could."""
        return self._problem

    @property
    def url(self) -> str:
        """The database's URL; known once the server has started."""
        if self._url is None:
            raise RuntimeError("the database's URL is known after start()")
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        return self._server.pid

    @property
    def log_file(self) -> Path:
        """Where the server writes."""
        return self._server.log_file

    def start(self, cancelled: threading.Event | None = None) -> None:
        """Returns when the database has the current schema; raises as EmbeddedPostgres.start, and StartCancelled."""
        try:
            self._url = self._server.start(DATABASE, cancelled=cancelled)
        except StartCancelled:
            self._server.stop()
            raise
        if cancelled is not None and cancelled.is_set():
            self._server.stop()
            raise StartCancelled
        upgrade_schema(self._url)
        self._watcher = threading.Thread(target=self._watch, name="keep-postgres", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stops watching, then the server. Idempotent."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(_JOIN_SECONDS)
        self._server.stop()

    def _watch(self) -> None:
        crashes, started_at = 0, time.monotonic()
        while not self._stopping.wait(_WATCH_SECONDS):
            if self._server.pid is not None:
                self._server.rotate_log()
                continue
            crashes = self._backoff.crashes_in_a_row(crashes, ran_for_seconds=time.monotonic() - started_at)
            delay = self._backoff.delay_seconds(crashes)
            log.warning("service.crashed name=postgres restart_in_seconds=%g log=%s", delay, self.log_file)
            if self._stopping.wait(delay):
                return
            started_at = time.monotonic()
            self._start_again()

    def _start_again(self) -> None:
        try:
            self._server.start(DATABASE, cancelled=self._stopping)
        except StartCancelled:
            return
        except Exception as error:  # noqa: BLE001  # The edge of this thread: whatever it is, it is told and tried again.
            self._problem = str(error)
            log.warning("service.not_runnable name=postgres reason=%s", error)
            return
        self._problem = None
        log.info("service.restarted name=postgres pid=%s", self._server.pid)
        self._on_restart()

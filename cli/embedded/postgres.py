"""A PostgreSQL server from a wheel, in a folder of its own, for one machine."""

import contextlib
import os
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil

from cli.embedded.errors import PartFailed, StartCancelled, told_as_unusable
from cli.embedded.log_file import LogFile
from cli.embedded.postgres_files import SUPERUSER, command_environment, ensure_database_files, private_socket_folder
from cli.embedded.postgres_pid_file import PID_FILE, read_pid_file
from cli.embedded.postgres_place import PostgresPlace, make_place
from cli.embedded.postgres_processes import find_server, named_server, orphans_of
from cli.embedded.waiting import wait_until

#: Recovery after a crash of the machine may take this long.
_READY_TIMEOUT_SECONDS = 90.0
_STOP_TIMEOUT_SECONDS, _KILL_TIMEOUT_SECONDS = 60.0, 10.0
#: Children of a server that was killed end by themselves, once they look up from what they do.
_ORPHANS_PATIENCE_SECONDS = 5.0
_CONNECT_TIMEOUT_SECONDS = 5
_LAUNCH_TIMEOUT_SECONDS = 20.0
_MAINTENANCE_DATABASE = "postgres"
_PORT = 5432
#: By the shell, so that the server is nobody's child: it outlives us, and whoever adopts it reaps it.
_LAUNCHER = 'exec 3>&1 >&2; "$@" 3>&- & echo $! >&3'


class EmbeddedPostgres:
    """Starts and stops a PostgreSQL server whose data lives in `folder`; reached by a Unix socket only.

    The server is a daemon: it outlives the process that started it, and a running one is used as it is. As root the
    folder may be a link: see cli.embedded.postgres_place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        #: Starting and stopping from two threads at once would meet in the same files.
        self._one_at_a_time = threading.Lock()

    @property
    def log_file(self) -> Path:
        """Where the server writes."""
        return self._data / "log"

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        server = named_server(self._data)
        return server.pid if server is not None else None

    def start(self, database: str = _MAINTENANCE_DATABASE, *, cancelled: threading.Event | None = None) -> str:
        """Starts the server (creating its data on first use) and returns the URL of `database`, created when absent.

        Raises ConfigurationError when the `embedded` extra is not installed, PartFailed when the server does not
        start, FolderUnusable when its files have to be mended by a person first, and StartCancelled when `cancelled`
        is set before it is ready; it may run all the same then.
        """
        with self._one_at_a_time, told_as_unusable(self.folder):
            # One that is there may be about to end: it has just been killed, or told to stop.
            if self.pid is None or not self._takes_connections(cancelled):
                place = make_place(self.folder)
                ensure_database_files(place, self._failure)
                self._end_what_is_left(place.data)
                self._launch(place, cancelled)
                if not self._takes_connections(cancelled):
                    raise self._failure("ended as soon as it was ready")
            self._ensure_database(database)
            return self._url(database)

    def stop(self) -> None:
        """Stops the server, ending its sessions (PostgreSQL's fast shutdown); nothing happens when it does not run.

        Raises PartFailed when it goes on running.
        """
        with self._one_at_a_time:
            server = named_server(self._data)
            if server is not None:
                self._end(server)

    def rotate_log(self) -> None:
        """Lets the server write to a fresh file once its log is large; what was written is kept as `log.1`."""
        server = named_server(self._data)
        if server is None or not LogFile(self.log_file).is_large():
            return
        with contextlib.suppress(OSError, psutil.Error):
            LogFile(self.log_file).set_aside()
            # What `pg_ctl logrotate` does: the file says what the signal means.
            (self._data / "logrotate").touch(mode=0o600)
            server.send_signal(signal.SIGUSR1)

    @property
    def _data(self) -> Path:
        return self.folder.resolve()

    def _end_what_is_left(self, data: Path) -> None:
        """Ends a server that its pid file does not name any more, and what is left of one that was killed."""
        server = find_server(data)
        if server is not None:
            self._end(server)
        if not wait_until(lambda: not any(orphans_of(data)), timeout_seconds=_ORPHANS_PATIENCE_SECONDS):
            orphans = list(orphans_of(data))
            for orphan in orphans:
                with contextlib.suppress(psutil.Error):
                    orphan.kill()
            psutil.wait_procs(orphans, timeout=_KILL_TIMEOUT_SECONDS)
        # No server runs: its lock files lock nothing, whosever the numbers in them are by now.
        (data / PID_FILE).unlink(missing_ok=True)

    def _end(self, server: psutil.Process) -> None:
        """Ends a server, one that has only just been launched too; raises PartFailed when it does not end."""

        def has_ended_when(asked: signal.Signals) -> bool:
            # Again at each look: a program that is not yet the server does not heed it. psutil sends nothing to a
            # process that has got the number since.
            with contextlib.suppress(psutil.NoSuchProcess):
                server.send_signal(asked)
            return _has_ended(server)

        for asked, patience in (
            (signal.SIGINT, _STOP_TIMEOUT_SECONDS),
            (signal.SIGQUIT, _KILL_TIMEOUT_SECONDS),
            (signal.SIGKILL, _KILL_TIMEOUT_SECONDS),
        ):
            if wait_until(partial(has_ended_when, asked), timeout_seconds=patience, interval_seconds=0.1):
                return
        raise self._failure(f"(pid {server.pid}) does not end")

    def _launch(self, place: PostgresPlace, cancelled: threading.Event | None) -> None:
        sockets = private_socket_folder(place)
        log = LogFile(place.data / "log")
        with log.open_for_run() as output:
            if place.account is not None:
                os.fchown(output.fileno(), place.account.uid, place.account.gid)
            try:
                pid = _launched(_server_command(place, sockets), place, output.fileno())
            except subprocess.SubprocessError as error:
                raise self._failure(f"could not be run ({error})") from error
        try:
            server = psutil.Process(pid)
        except psutil.NoSuchProcess:
            server = None

        def is_ready() -> bool:
            found = read_pid_file(place.data)
            return found.pid == pid and found.is_ready

        def is_decided() -> bool:
            return is_ready() or server is None or _has_ended(server)

        wait_until(is_decided, timeout_seconds=_READY_TIMEOUT_SECONDS, cancelled=cancelled)
        if not is_ready():
            if cancelled is not None and cancelled.is_set():
                if server is not None:
                    # By no file yet would it be found again.
                    self._end(server)
                raise StartCancelled
            ended = self.pid is None
            raise PartFailed(
                part="postgres",
                reason="ended before it was ready"
                if ended
                else f"was not ready after {_READY_TIMEOUT_SECONDS:g} s; it goes on, so start again in a while",
                log_file=log.path,
                log_tail=log.tail(),
            )

    def _url(self, database: str) -> str:
        found = read_pid_file(self._data)
        if found.socket_folder is None:
            raise self._failure("has no socket")
        query = urlencode({"host": str(found.socket_folder), "port": found.port or _PORT}, safe="/", quote_via=quote)
        return f"postgresql://{SUPERUSER}:@/{database}?{query}"

    def _takes_connections(self, cancelled: threading.Event | None) -> bool:
        """Waits until the running server does, or has ended; raises PartFailed when it only goes on running."""
        from psycopg import Connection, OperationalError

        refusals = list[str]()

        def is_decided() -> bool:
            try:
                Connection.connect(self._url(_MAINTENANCE_DATABASE), connect_timeout=_CONNECT_TIMEOUT_SECONDS).close()
            except (OperationalError, PartFailed) as error:
                refusals.append(str(error).strip())
                return self.pid is None
            refusals.clear()
            return True

        if not wait_until(
            is_decided, timeout_seconds=_READY_TIMEOUT_SECONDS, cancelled=cancelled, interval_seconds=0.1
        ):
            if cancelled is not None and cancelled.is_set():
                raise StartCancelled
            raise self._failure(
                f"(pid {self.pid}) runs and took no connection for {_READY_TIMEOUT_SECONDS:g} s ({refusals[-1]}); "
                "end it with `kill -9` when it does nothing"
            )
        return not refusals

    def _ensure_database(self, database: str) -> None:
        from psycopg import Connection, OperationalError, errors, sql

        url = self._url(_MAINTENANCE_DATABASE)
        with Connection.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_SECONDS) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone() is not None:
                return
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                # Another process was first.
                return
            except (errors.DiskFull, errors.IoError, OperationalError) as error:
                raise self._failure(f"could not make the database {database!r} ({error})") from error

    def _failure(self, reason: str) -> PartFailed:
        log = LogFile(self.log_file)
        return PartFailed(part="postgres", reason=reason, log_file=log.path, log_tail=log.tail())


def _has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or waits for whoever adopted it to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _server_command(place: PostgresPlace, sockets: Path) -> list[str]:
    folders = str(sockets).replace('"', '""')
    settings = {
        "listen_addresses": "",
        "port": str(_PORT),
        # A list, whose members may be quoted.
        "unix_socket_directories": f'"{folders}"',
        "unix_socket_permissions": "0700",
        # A process of the server's own writes the log: it can change to another file, and loses nothing by that.
        "logging_collector": "on",
        "log_directory": ".",
        "log_filename": "log",
        "log_rotation_age": "0",
        "log_rotation_size": "0",
    }
    command = [str(place.programs / "postgres"), "-D", str(place.data)]
    return command + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _launched(command: list[str], place: PostgresPlace, output: int) -> int:
    """The process id of a server that has been started, and of which nothing else is known yet."""
    launched = subprocess.run(  # noqa: S603  # The command is ours, given as a list.
        ["/bin/sh", "-c", _LAUNCHER, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=output,
        env=command_environment(),
        cwd=place.data,
        umask=0o077,
        start_new_session=True,
        timeout=_LAUNCH_TIMEOUT_SECONDS,
        check=True,
        **place.identity(),
    )
    return int(launched.stdout)

"""A stack that runs behind the terminal: how it is started, and how it is told to stop."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cli.embedded.agentflow_services import python_module
from cli.embedded.errors import PartFailed, StackAlreadyRunning, StackNotRunning, SupervisorUnknown, told_as_unusable
from cli.embedded.log_file import LogFile
from cli.embedded.postgres import EmbeddedPostgres
from cli.embedded.room import check_room
from cli.embedded.stack_record import StackRecord, is_running, read_record, supervisor_of
from cli.embedded.waiting import wait_until

if TYPE_CHECKING:
    # It brings the database's libraries along; `agentctl dev stop` has no use for them.
    from cli.embedded.supervisor import StackOptions

_START_TIMEOUT_SECONDS = 240.0
_STOP_TIMEOUT_SECONDS = 90.0
_RECORD_TIMEOUT_SECONDS = 5.0
_LOCK_PATIENCE_SECONDS = 2.0
#: A failed part's own last lines are among them.
_QUOTED_LINES = 40


def start_in_background(options: "StackOptions") -> StackRecord:
    """Starts a supervisor that outlives this process, and returns the stack's record when the stack is ready.

    Raises StackAlreadyRunning, PortTaken, FolderUnusable, and PartFailed with what the supervisor wrote when the stack
    did not start.
    """
    with told_as_unusable(options.data_dir):
        options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_room(options.data_dir)
        return _start_in_background(options)


def _start_in_background(options: "StackOptions") -> StackRecord:
    _refuse_what_cannot_start(options)
    log_file = LogFile(options.data_dir / "logs" / "supervisor.log")
    with log_file.open_for_run() as output:
        supervisor = subprocess.Popen(  # noqa: S603  # The command is ours, given as a list.
            [*python_module("cli.embedded.supervisor"), options.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: supervisor.poll() is not None or _ready_record(options.data_dir, supervisor.pid) is not None,
            timeout_seconds=_START_TIMEOUT_SECONDS,
            interval_seconds=0.1,
        )
        record = _ready_record(options.data_dir, supervisor.pid)
    except KeyboardInterrupt:
        _end(supervisor)
        raise
    if record is None:
        _end(supervisor)
        raise PartFailed(
            part="the stack", reason="did not start", log_file=log_file.path, log_tail=log_file.tail(_QUOTED_LINES)
        )
    # Disowned: nothing here waits for it, and the interpreter should not complain of that.
    supervisor.returncode = 0
    return record


def stop_running(data_dir: Path) -> None:
    """Stops the folder's stack and returns when it has stopped.

    Raises StackNotRunning when there is none, having stopped a PostgreSQL that a killed stack left behind, and
    SupervisorUnknown, having stopped nothing, when what holds the folder's lock is not surely a stack.
    """
    with told_as_unusable(data_dir):
        _stop_running(data_dir)


def _stop_running(data_dir: Path) -> None:
    if not is_running(data_dir):
        EmbeddedPostgres(data_dir / "postgres").stop()
        raise StackNotRunning(data_dir=data_dir)
    wait_until(lambda: read_record(data_dir) is not None, timeout_seconds=_RECORD_TIMEOUT_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(supervisor_of(data_dir), signal.SIGTERM)
        except SupervisorUnknown:
            # It may be ending by itself, its record gone already.
            if not wait_until(lambda: not is_running(data_dir), timeout_seconds=_RECORD_TIMEOUT_SECONDS):
                raise
            return
    if not wait_until(lambda: not is_running(data_dir), timeout_seconds=_STOP_TIMEOUT_SECONDS):
        log_file = LogFile(data_dir / "logs" / "supervisor.log")
        raise PartFailed(
            part="the stack",
            reason=f"was still running {_STOP_TIMEOUT_SECONDS:g} s after it was asked to stop",
            log_file=log_file.path,
            log_tail=log_file.tail(),
        )


def _refuse_what_cannot_start(options: "StackOptions") -> None:
    """What the supervisor would refuse as well, told before there is one: its message arrives whole."""
    # A stack that was killed a moment ago may still be giving its lock back.
    if not wait_until(lambda: not is_running(options.data_dir), timeout_seconds=_LOCK_PATIENCE_SECONDS):
        record = read_record(options.data_dir)
        raise StackAlreadyRunning(data_dir=options.data_dir, addresses=record.addresses if record else {})
    options.ports.resolve()


def _ready_record(data_dir: Path, supervisor_pid: int) -> StackRecord | None:
    record = read_record(data_dir)
    is_its_own = record is not None and record.supervisor_pid == supervisor_pid and record.state == "ready"
    return record if is_its_own else None


def _end(supervisor: "subprocess.Popen[bytes]") -> None:
    supervisor.terminate()
    try:
        supervisor.wait(_STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()

"""What a stack tells other processes about itself: `stack.json`, and a lock that says whether it still runs."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from cli.embedded.errors import StackAlreadyRunning, SupervisorUnknown
from cli.embedded.key_files import write_private
from cli.embedded.process_identity import holder_of, started_at
from cli.embedded.waiting import wait_until

StackState = Literal["starting", "ready"]

_RECORD_FILE = "stack.json"
LOCK_FILE = "stack.lock"
#: Longer than someone who only asks whether a stack runs holds the lock.
_LOCK_PATIENCE_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """A stack as of its latest start or restart of a part."""

    state: StackState
    supervisor_pid: int
    #: Name → URL, `host:port` or path, as people and clients need them.
    addresses: dict[str, str]
    #: Part → process id; None while it is being started again.
    pids: dict[str, int | None]
    #: When the supervisor began, in ticks since boot: its number may be given to another program.
    supervisor_started_at: int | None = None

    def write(self, data_dir: Path) -> None:
        """Replaces the folder's record in one step, readable by its owner only."""
        write_private(data_dir / _RECORD_FILE, json.dumps(asdict(self), indent=2) + "\n")


def read_record(data_dir: Path) -> StackRecord | None:
    """The folder's record, of a stack that runs or ran; None when there is none, or none that can be read."""
    file = data_dir / _RECORD_FILE
    try:
        # Not of a pipe, which would be waited for.
        document = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return _checked(document) if isinstance(document, dict) else None


def supervisor_of(data_dir: Path) -> int:
    """The process id of the stack that runs in the folder.

    Raises SupervisorUnknown when the record does not name the process that holds the lock: it may be anyone's.
    """
    record, holder = read_record(data_dir), holder_of(data_dir / LOCK_FILE).pid
    if record is not None:
        pid, began = record.supervisor_pid, record.supervisor_started_at
        if began is not None and began == started_at(pid) and holder in {None, pid}:
            return pid
    raise SupervisorUnknown(lock_file=data_dir / LOCK_FILE, holder=holder)


def _checked(document: dict[str, Any]) -> StackRecord | None:
    """The record that `document` is; None when it is none."""
    state: Any
    pid: Any
    state, pid, began = document.get("state"), document.get("supervisor_pid"), document.get("supervisor_started_at")
    addresses, pids = document.get("addresses"), document.get("pids")
    if state not in get_args(StackState) or not _is_pid(pid) or not (began is None or _is_pid(began)):
        return None
    if not isinstance(addresses, dict) or not all(isinstance(address, str) for address in addresses.values()):
        return None
    if not isinstance(pids, dict) or not all(part is None or _is_pid(part) for part in pids.values()):
        return None
    return StackRecord(state=state, supervisor_pid=pid, supervisor_started_at=began, addresses=addresses, pids=pids)


def _is_pid(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class StackLock:
    """The right to run a stack in a folder. The kernel gives it back when its holder dies, however it dies."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock and removes the record of the run before.

        Raises StackAlreadyRunning, with the addresses of the stack that holds it.
        """
        descriptor = os.open(self._data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not wait_until(lambda: _try_lock(descriptor, fcntl.LOCK_EX), timeout_seconds=_LOCK_PATIENCE_SECONDS):
            os.close(descriptor)
            record = read_record(self._data_dir)
            raise StackAlreadyRunning(data_dir=self._data_dir, addresses=record.addresses if record else {})
        self._descriptor = descriptor
        (self._data_dir / _RECORD_FILE).unlink(missing_ok=True)

    def release(self) -> None:
        """Removes the record and gives the lock back; nothing happens when it is not held."""
        if self._descriptor is None:
            return
        (self._data_dir / _RECORD_FILE).unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


def is_running(data_dir: Path) -> bool:
    """Whether a stack holds the folder's lock."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared, so that two who ask at once do not take each other for a stack.
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

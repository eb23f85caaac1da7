"""What a stack tells other processes about itself: `stack.json`, and a lock that says whether it still runs."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cli.embedded.errors import StackAlreadyRunning
from cli.embedded.key_files import write_private
from cli.embedded.waiting import wait_until

StackState = Literal["starting", "ready"]

_RECORD_FILE = "stack.json"
_LOCK_FILE = "stack.lock"
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

    def write(self, data_dir: Path) -> None:
        """Replaces the folder's record in one step, readable by its owner only."""
        write_private(data_dir / _RECORD_FILE, json.dumps(asdict(self), indent=2) + "\n")


def read_record(data_dir: Path) -> StackRecord | None:
    """The folder's record, of a stack that runs or ran; None when there is none."""
    try:
        document = json.loads((data_dir / _RECORD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return StackRecord(**document)


class StackLock:
    """The right to run a stack in a folder. The kernel gives it back when its holder dies, however it dies."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Takes the lock and removes the record of the run before.

        Raises StackAlreadyRunning, with the addresses of the stack that holds it.
        """
        descriptor = os.open(self._data_dir / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
        descriptor = os.open(data_dir / _LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
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

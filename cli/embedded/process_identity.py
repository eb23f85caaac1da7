"""A process by its number and the instant of its start, because the number alone may be another's by now."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = Path("/proc")
#: Counted in what follows the command's name (proc(5), "/proc/pid/stat"): the state, and ticks from boot to start.
_STATE_FIELD, _START_FIELD = 0, 19
_DEAD_STATES = frozenset("ZXx")
_LOCKS = _PROCESSES / "locks"


def started_at(pid: int) -> int | None:
    """When the running process began, in the kernel's ticks since boot; None for none, a zombie or a mere thread."""
    try:
        fields = (_PROCESSES / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        status = (_PROCESSES / str(pid) / "status").read_bytes()
        is_process = any(line.split() == [b"Tgid:", b"%d" % pid] for line in status.splitlines())
        is_running = fields[_STATE_FIELD].decode() not in _DEAD_STATES
        return int(fields[_START_FIELD]) if is_process and is_running else None
    except (OSError, IndexError, ValueError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHolder:
    """Who holds a lock of flock(2)."""

    #: None when the system does not say.
    pid: int | None


def holder_of(lock_file: Path) -> LockHolder:
    """The process that holds the file's exclusive lock, as the kernel lists it (proc(5), "/proc/locks")."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = lock_file.stat().st_ino
        for line in _LOCKS.read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[3] == "WRITE" and int(fields[5].rpartition(":")[2]) == inode:
                pid = int(fields[4])
                return LockHolder(pid=pid or None)
    return LockHolder(pid=None)

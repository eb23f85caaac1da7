"""Which processes are a data folder's PostgreSQL, and surely so: a process id may have been given to another program.

A server is taken for the folder's when it is a program `postgres`, was told `-D` and this folder, and runs as the user
whom the folder belongs to. The time of its start is not asked: PostgreSQL notes it by a clock that may be set.
"""

import contextlib
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil

from cli.embedded.postgres_pid_file import read_pid_file

_PROGRAM = "postgres"
#: The first lines of /proc/PID/status name the process that a thread belongs to (proc(5)).
_GROUP_LINE = "Tgid:"


def named_server(data_folder: Path) -> psutil.Process | None:
    """The running server that the folder's pid file names; None when that process is no such server."""
    pid = read_pid_file(data_folder).pid
    try:
        process = psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None
    return process if process is not None and is_server_of(process, data_folder) else None


def find_server(data_folder: Path) -> psutil.Process | None:
    """The folder's running server, whatever the pid file says: looks at every process."""
    found = (process for process in psutil.process_iter() if is_server_of(process, data_folder))
    return next(found, None)


def is_server_of(process: psutil.Process, data_folder: Path) -> bool:
    """Whether `process` is surely the running PostgreSQL of `data_folder`."""
    try:
        if not _is_postgres(process, data_folder) or _is_thread(process.pid):
            return False
        command = process.cmdline()
    except (psutil.Error, OSError):
        return False
    return ("-D", str(data_folder)) in pairwise(command)


def orphans_of(data_folder: Path) -> Iterator[psutil.Process]:
    """Processes of a server that was killed: its children end by themselves, but not at once.

    They are known by their working folder, which is the data folder. Where that may not be read, there are none.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if _is_postgres(process, data_folder) and process.cwd() == str(data_folder):
                yield process


def _is_postgres(process: psutil.Process, data_folder: Path) -> bool:
    return (
        process.name() == _PROGRAM
        and process.status() != psutil.STATUS_ZOMBIE
        and process.uids().real == data_folder.stat().st_uid
    )


def _is_thread(pid: int) -> bool:
    """Whether the number is that of a thread in another process; psutil answers for those as well."""
    file = Path(f"/proc/{pid}/status")
    if not file.exists():
        return False
    group = next((line for line in os.fsdecode(file.read_bytes()).splitlines() if line.startswith(_GROUP_LINE)), None)
    return group is not None and group.split()[1] != str(pid)

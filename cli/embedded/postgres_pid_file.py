"""What stands in PostgreSQL's `postmaster.pid`, whatever stands in it: a killed server leaves any part of it behind.

The lines are described in PostgreSQL's documentation of its database file layout ("postmaster.pid"): process id, data
folder, start time, port, socket folder, listen address, shared memory, status.
"""

from dataclasses import dataclass
from pathlib import Path

PID_FILE = "postmaster.pid"
_PORT_LINE, _SOCKET_FOLDER_LINE, _STATUS_LINE = 3, 4, 7
#: The kernel's largest (proc(5), "pid_max").
_LARGEST_PID = 2**22
_LARGEST_PORT = 65_535
#: The file has eight short lines; what is longer was written by someone else.
_MOST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """The lines that are needed to reach a server; None where the file does not say."""

    pid: int | None = None
    port: int | None = None
    socket_folder: Path | None = None
    is_ready: bool = False


def read_pid_file(data_folder: Path) -> PidFile:
    """The file of a data folder; empty when there is none, or nothing that can be read."""
    file = data_folder / PID_FILE
    try:
        # Not of a pipe, which would be waited for.
        if not file.is_file():
            return PidFile()
        with file.open("rb") as opened:
            return parse_pid_file(opened.read(_MOST_BYTES))
    except OSError:
        return PidFile()


def parse_pid_file(content: bytes) -> PidFile:
    """The lines of `content` as far as they are such lines."""
    lines = [line.strip() for line in content.decode("utf-8", errors="surrogateescape").splitlines()]
    lines += [""] * (_STATUS_LINE + 1 - len(lines))
    folder = lines[_SOCKET_FOLDER_LINE]
    return PidFile(
        pid=_number(lines[0], at_most=_LARGEST_PID),
        port=_number(lines[_PORT_LINE], at_most=_LARGEST_PORT),
        socket_folder=Path(folder) if folder.startswith("/") and "\0" not in folder else None,
        is_ready=lines[_STATUS_LINE] == "ready",
    )


def _number(text: str, *, at_most: int) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(at_most)):
        return None
    number = int(text)
    return number if 1 < number <= at_most else None

"""The log file of a part: bounded while it is written to, and quoted when the part fails."""

import logging
import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import IO, BinaryIO

log = logging.getLogger(__name__)

#: A file and the one before it: twice this is what a part's log takes at most.
ROTATE_ABOVE_BYTES = 16 * 1024 * 1024
_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024


class LogFile:
    """What one part writes. Past 16 MB the file becomes `<name>.1`, replacing the one before."""

    def __init__(self, path: Path, *, rotate_above_bytes: int = ROTATE_ABOVE_BYTES) -> None:
        self.path = path
        self._rotate_above_bytes = rotate_above_bytes
        self._start_of_run = 0

    def open_for_run(self) -> BinaryIO:
        """The file, to be appended to by a run that starts at this moment; raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.is_large():
            self.set_aside()
        self._start_of_run = self._size()
        return open(self.path, "ab", buffering=0, opener=_owner_only)  # Path.open takes no opener.

    def is_large(self) -> bool:
        """Whether it is time for a fresh file."""
        return self._size() > self._rotate_above_bytes

    def set_aside(self) -> None:
        """Keeps what was written as `<name>.1`; whoever has the file open goes on writing there."""
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._start_of_run = 0

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last `lines` of the latest run; empty when it wrote nothing, or nothing that can be read."""
        try:
            if not self.path.is_file():
                return ""
            with self.path.open("rb") as file:
                file.seek(max(self._start_of_run, self._size() - _TAIL_BYTES))
                content = file.read()
        except OSError:
            return ""
        return "\n".join(content.decode(errors="replace").rstrip().splitlines()[-lines:])

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


class LogPump:
    """Copies what a process writes into a log file, which is rotated between two lines while the process runs.

    The process never waits for a disk that is full: what cannot be written is counted, and the count is written once
    there is room again.
    """

    def __init__(self, log_file: LogFile, source: IO[bytes]) -> None:
        self._log_file, self._source = log_file, source
        self._output: BinaryIO | None = None
        self._lost_bytes = 0
        self._thread = threading.Thread(target=self._copy, name=f"log-{log_file.path.stem}", daemon=True)

    def start(self) -> None:
        """Opens the file and begins to copy, in a thread of its own."""
        self._reopen()
        self._thread.start()

    def finish(self, timeout_seconds: float) -> None:
        """Returns when all has been copied, or the time is up: a grandchild may keep the pipe open."""
        self._thread.join(timeout_seconds)

    def _copy(self) -> None:
        rest = b""
        with self._source:
            # A pipe gives what there is; the rest of a line waits for its end, unless it is a long one.
            while chunk := os.read(self._source.fileno(), _READ_BYTES):
                head, newline, tail = (rest + chunk).rpartition(b"\n")
                rest = tail if len(tail) < _READ_BYTES else b""
                self._write(head + newline + (b"" if rest else tail))
            self._write(rest)
        if self._output is not None:
            self._output.close()

    def _write(self, content: bytes) -> None:
        if not content:
            return
        if self._output is None or self._log_file.is_large():
            self._reopen()
        try:
            if self._output is not None and self._lost_bytes:
                _write_all(self._output, b"[%d bytes could not be written here]\n" % self._lost_bytes)
                self._lost_bytes = 0
            if self._output is not None:
                _write_all(self._output, content)
            else:
                self._lost_bytes += len(content)
        except OSError as error:
            if not self._lost_bytes:
                log.warning("log.unwritable file=%s reason=%s", self._log_file.path, error)
            self._lost_bytes += len(content)

    def _reopen(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
        try:
            self._output = self._log_file.open_for_run()
        except OSError as error:
            if not self._lost_bytes:
                log.warning("log.unwritable file=%s reason=%s", self._log_file.path, error)


def piped(process: "subprocess.Popen[bytes]", log_file: LogFile) -> LogPump:
    """A pump, started, for a process that was made with `stdout=PIPE`."""
    if process.stdout is None:
        raise ValueError("the process writes to no pipe")
    pump = LogPump(log_file, process.stdout)
    pump.start()
    return pump


def _write_all(file: BinaryIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _owner_only(path: str, flags: int) -> int:
    # Without waiting for a reader, should there be a pipe of that name; nor where a link leads.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no file")
    return descriptor

"""The log file of a part: appended to, bounded, and quoted when the part fails."""

import os
from pathlib import Path
from typing import BinaryIO

_ROTATE_ABOVE_BYTES = 16 * 1024 * 1024
_TAIL_LINES = 20
_TAIL_BYTES = 64 * 1024


class LogFile:
    """What one part writes. Past 16 MB the file becomes `<name>.1` at the next start, replacing the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start_of_run = 0

    def open_for_run(self) -> BinaryIO:
        """The file, to be appended to by a run that starts now."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._size() > _ROTATE_ABOVE_BYTES:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._start_of_run = self._size()
        return open(self.path, "ab", opener=_owner_only)  # Path.open takes no opener.

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last `lines` of the latest run; empty when it wrote nothing."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(self._start_of_run, self._size() - _TAIL_BYTES))
                content = file.read()
        except FileNotFoundError:
            return ""
        return "\n".join(content.decode(errors="replace").rstrip().splitlines()[-lines:])

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

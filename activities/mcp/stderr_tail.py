"""The last lines that a server's process wrote to its standard error before it had begun to speak."""

import asyncio
import os
from collections.abc import Collection
from io import TextIOWrapper
from types import TracebackType
from typing import Self, TextIO

from activities.tools.secret_scrubber import SecretScrubber

_KEPT_BYTES = 4_096
_SHOWN_LINES, _SHOWN_CHARACTERS = 5, 600


class StderrTail:
    """A pipe for the process to write to, which never fills up; what comes is dropped but for its end."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._scrubber = SecretScrubber(secrets)
        self._kept = b""

    def __enter__(self) -> Self:
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self.file: TextIO = TextIOWrapper(os.fdopen(write_end, "wb"), encoding="utf-8")
        asyncio.get_running_loop().add_reader(self._read_end, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._read_end)
        self.file.close()
        os.close(self._read_end)

    def text(self) -> str:
        """The last lines, without secrets and control characters; empty when nothing was written."""
        self._read()
        lines = self._scrubber.scrub(self._kept).decode("utf-8", errors="replace").splitlines()
        shown = ["".join(character for character in line if character.isprintable()).strip() for line in lines]
        return " | ".join([line for line in shown if line][-_SHOWN_LINES:])[-_SHOWN_CHARACTERS:]

    def _read(self) -> None:
        try:
            while part := os.read(self._read_end, 65_536):
                self._kept = (self._kept + part)[-_KEPT_BYTES:]
        except BlockingIOError:
            return

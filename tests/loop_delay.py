"""How long an event loop is kept from its other work, for tests that bound it.

A beat of a few milliseconds runs on the loop. Where one comes late, something kept the loop's thread: a callback that
computes, or a call in another thread that holds the interpreter's lock. A busy machine makes beats late as well, which
says nothing of the code. So of the time between two beats counts only

- what the loop's own thread did not spend waiting for a core (Linux tells it, `/proc/self/task/ID/schedstat`), and
- no more than the CPU time of the whole process in it: where the process computed nothing, nothing was in the way.

A call that sleeps on the loop's thread computes nothing and is not seen; the linter's ASYNC rules find those.
"""

import asyncio
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PERIOD_SECONDS = 0.002


class LoopDelay:
    """The worst delay of a loop, the running one or that of another thread, while the block runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._began, self._is_over = threading.Event(), False
        #: Beats that were heard; a test of a loop that was busy throughout may have heard few.
        self.beats = 0
        self.worst_seconds = 0.0

    def __enter__(self) -> Self:
        self._loop.call_soon_threadsafe(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True

    def _begin(self) -> None:
        self._statistics = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._note()
        self._loop.call_later(_PERIOD_SECONDS, self._beat)

    def _beat(self) -> None:
        wall, cpu, waited = self._wall, self._cpu, self._waited
        self._note()
        kept = self._wall - wall - _PERIOD_SECONDS - (self._waited - waited)
        self.worst_seconds = max(self.worst_seconds, min(kept, self._cpu - cpu))
        self.beats += 1
        if not self._is_over:
            self._loop.call_later(_PERIOD_SECONDS, self._beat)

    def _note(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._waited = self._seconds_without_core()

    def _seconds_without_core(self) -> float:
        try:
            return int(self._statistics.read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            # Elsewhere than on Linux a busy machine counts.
            return 0.0

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
    """The worst delay of the running loop while the block runs, from its first statement to its last."""

    def __init__(self) -> None:
        self._is_over, self._last_beat = False, asyncio.Event()
        self._statistics = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        #: Beats that were heard; a test of a loop that was busy throughout may have heard few.
        self.beats = 0
        self.worst_seconds = 0.0

    async def __aenter__(self) -> Self:
        self._note()
        asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._beat)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The beat that is due tells of the block's last statement.
        self._is_over = True
        await self._last_beat.wait()

    def _beat(self) -> None:
        wall, cpu, waited = self._wall, self._cpu, self._waited
        self._note()
        kept = self._wall - wall - _PERIOD_SECONDS - (self._waited - waited)
        self.worst_seconds = max(self.worst_seconds, min(kept, self._cpu - cpu))
        self.beats += 1
        if self._is_over:
            self._last_beat.set()
        else:
            asyncio.get_running_loop().call_later(_PERIOD_SECONDS, self._beat)

    def _note(self) -> None:
        # Of one moment: a wait for a core between two readings would stand in one of them alone.
        before, self._waited = -1.0, self._seconds_without_core()
        while before != self._waited:
            self._wall, self._cpu = time.perf_counter(), time.process_time()
            before, self._waited = self._waited, self._seconds_without_core()

    def _seconds_without_core(self) -> float:
        try:
            return int(self._statistics.read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            # Elsewhere than on Linux a busy machine counts.
            return 0.0

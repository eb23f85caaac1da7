"""Work that an organisation's content decides about: bounded in time, and never so much of one that others wait.

What is short is done in threads of its own. What is long goes to processes: those have no part in this process's
interpreter lock, and one whose call takes too much time is killed.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from workflows.errors import WorkTooCostly
from workflows.fair_turns import FairTurns
from workflows.work_process import WorkProcess, WorkProcessEnded

_Result = TypeVar("_Result")

#: Content up to so many bytes is worked on here, in milliseconds.
SHORT_BYTES = 16 * 1024
_CPU_SECONDS = 10.0
_WAIT_SECONDS = 30.0
_MOST_SHORT_WAITING, _MOST_LONG_WAITING = 1_000, 32


class TenantWork:
    """Runs functions for organisations."""

    def __init__(self, *, processes: int | None = None, cpu_seconds: float = _CPU_SECONDS) -> None:
        """`processes`, unless they are given, are as many as there are cores, from two to four."""
        places = processes or min(4, max(2, os.cpu_count() or 1))
        self._cpu_seconds = cpu_seconds
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tenant-work")
        self._short = FairTurns(places=2, share=1, most_waiting=_MOST_SHORT_WAITING, wait_seconds=_WAIT_SECONDS)
        self._long = FairTurns(
            places=places, share=max(1, places // 2), most_waiting=_MOST_LONG_WAITING, wait_seconds=_WAIT_SECONDS
        )
        #: Those that wait for a call, the latest used last.
        self._idle: list[WorkProcess] = []
        self._is_closed = False

    async def run(self, function: Callable[..., _Result], *arguments: object, org_id: str, size_bytes: int) -> _Result:
        """What the function returns; it and its arguments can be pickled, and `size_bytes` says how long they are.

        Raises what the function raises of our errors, ServerOccupied and WorkTooCostly.
        """
        if size_bytes <= SHORT_BYTES:
            async with self._short.turn(org_id):
                return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        async with self._long.turn(org_id):
            return await self._in_process(function, *arguments)

    async def close(self) -> None:
        """Ends the processes."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            await self._idle.pop().end()

    async def _in_process(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        process = self._idle.pop() if self._idle else await WorkProcess.start(cpu_seconds=self._cpu_seconds)
        is_whole = False
        try:
            result = await process.call(function, *arguments)
            is_whole = True
        except WorkProcessEnded:
            raise WorkTooCostly(cpu_seconds=self._cpu_seconds) from None
        except Exception:
            is_whole = True
            raise
        else:
            return result
        finally:
            # A call that nobody waits for any more leaves its process in the middle of it.
            if is_whole and not self._is_closed:
                self._idle.append(process)
            else:
                await process.end()

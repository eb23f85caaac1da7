"""Work that an organisation's content decides about: bounded in time, and never so much of one that others wait.

What is short is done in threads of its own. What is long goes to processes: those have no part in this process's
interpreter lock, and one whose call takes too much time is killed.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import TypeVar

from workflows.errors import ServerOccupied, WorkTooCostly
from workflows.fair_turns import FairTurns
from workflows.work_process import WorkProcess, WorkProcessEnded, WorkProcessSlow

_Result = TypeVar("_Result")

#: Content up to so many bytes is worked on here, in milliseconds.
SHORT_BYTES = 16 * 1024
#: What takes longer here, though it is short, is given to a process, whose time has an end.
_SHORT_SECONDS = 1.0
_CPU_SECONDS = 10.0
#: What computes has used its CPU time long before, unless the machine is busy beyond measure.
_WALL_SECONDS = 60.0
_WAIT_SECONDS = 30.0
_MOST_SHORT_WAITING, _MOST_LONG_WAITING = 1_000, 32


class TenantWork:
    """Runs functions for organisations."""

    def __init__(
        self, *, processes: int | None = None, cpu_seconds: float = _CPU_SECONDS, wall_seconds: float = _WALL_SECONDS
    ) -> None:
        """`processes`, unless they are given, are as many as there are cores, from two to four."""
        places = processes or min(4, max(2, os.cpu_count() or 1))
        self._cpu_seconds, self._wall_seconds = cpu_seconds, wall_seconds
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="tenant-work")
        self._short = FairTurns(places=2, share=1, most_waiting=_MOST_SHORT_WAITING, wait_seconds=_WAIT_SECONDS)
        self._long = FairTurns(
            places=places, share=max(1, places // 2), most_waiting=_MOST_LONG_WAITING, wait_seconds=_WAIT_SECONDS
        )
        #: Those that wait for a call, the latest used last.
        self._idle: list[WorkProcess] = []
        self._is_closed = False

    async def run(self, function: Callable[..., _Result], *arguments: object, org_id: str, size_bytes: int) -> _Result:
        """What the function returns, which does nothing else; it and its arguments can be pickled.

        `size_bytes` says how much it goes through, all of it (`weight_of`). Raises what the function raises of our
        errors, ServerOccupied and WorkTooCostly.
        """
        if size_bytes <= SHORT_BYTES:
            done = await self._in_thread(function, *arguments, org_id=org_id)
            if done is not None:
                return done.result()
        async with self._long.turn(org_id):
            return await self._in_process(function, *arguments)

    async def close(self) -> None:
        """Ends the processes."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            await self._idle.pop().end()

    async def _in_thread(
        self, function: Callable[..., _Result], *arguments: object, org_id: str
    ) -> asyncio.Future[_Result] | None:
        """What became of it here; None when it was not short at all."""
        await self._short.take(org_id)
        loop = asyncio.get_running_loop()

        def give_back(_job: object) -> None:
            # A loop that is closed has nobody waiting.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._short.give_back, org_id)

        try:
            job = self._threads.submit(function, *arguments)
        except BaseException:
            self._short.give_back(org_id)
            raise
        # A thread cannot be stopped: the turn lasts as long as it works, whoever still waits for it.
        job.add_done_callback(give_back)
        future = asyncio.wrap_future(job)
        try:
            await asyncio.wait([future], timeout=_SHORT_SECONDS)
        finally:
            future.cancel()
        return None if future.cancelled() else future

    async def _in_process(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        try:
            return await self._call(self._idle_process() or await self._new_process(), function, *arguments)
        except WorkProcessEnded as ended:
            if ended.by_its_limits:
                raise WorkTooCostly(cpu_seconds=self._cpu_seconds) from None
        # Whoever killed it may have meant the process, or the machine's memory; what kills two is too much for it.
        try:
            return await self._call(await self._new_process(), function, *arguments)
        except WorkProcessEnded:
            raise WorkTooCostly(cpu_seconds=self._cpu_seconds) from None

    async def _call(self, process: WorkProcess, function: Callable[..., _Result], *arguments: object) -> _Result:
        is_whole = False
        try:
            result = await process.call(function, *arguments)
            is_whole = True
        except WorkProcessSlow:
            raise ServerOccupied from None
        except WorkProcessEnded:
            raise
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

    def _idle_process(self) -> WorkProcess | None:
        while self._idle:
            process = self._idle.pop()
            if not process.has_ended:
                return process
        return None

    async def _new_process(self) -> WorkProcess:
        return await WorkProcess.start(cpu_seconds=self._cpu_seconds, wall_seconds=self._wall_seconds)


def weight_of(*values: object) -> int:
    """About how many bytes values have with all that is in them; counted no further than what is short."""
    weight, pending = 0, list(values)
    while pending and weight <= SHORT_BYTES:
        value = pending.pop()
        weight += 1
        if isinstance(value, str | bytes):
            weight += len(value)
        elif isinstance(value, Mapping):
            pending.extend(value.keys())
            pending.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            pending.extend(value)
        elif is_dataclass(value):
            pending.extend(getattr(value, field.name) for field in fields(value))
    return weight

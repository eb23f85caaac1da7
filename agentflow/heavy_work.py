"""Work that keeps a processor busy, away from the event loop, with turns: nobody waits behind all that another sent."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from agentflow.fair_queue import FairQueue

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    owner: str
    work: Callable[[], Any]
    ended: Future[Any]


class FairThreads:
    """Threads for any loop; those who have work waiting get them in turn, and no one all of them."""

    def __init__(self, *, threads: int, share: int) -> None:
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="heavy")
        self._lock = Lock()
        self._queue = FairQueue[_Job](places=threads, share=share)

    async def run(self, work: Callable[[], _Result], *, owner: str) -> _Result:
        """What `work` gives, or raises; not begun at all where its caller is cancelled before its turn."""
        return await asyncio.wrap_future(self._hand_in(work, owner))

    def _hand_in(self, work: Callable[[], _Result], owner: str) -> Future[_Result]:
        ended: Future[_Result] = Future()
        with self._lock:
            self._queue.add(owner, _Job(owner=owner, work=work, ended=ended))
        self._let_in()
        return ended

    def _let_in(self) -> None:
        while (job := self._next()) is not None:
            if job.ended.set_running_or_notify_cancel():
                self._threads.submit(job.work).add_done_callback(partial(self._end, job))
            else:
                self._give_back(job)

    def _end(self, job: _Job, done: Future[Any]) -> None:
        self._give_back(job)
        error = done.exception()
        if error is None:
            job.ended.set_result(done.result())
        elif isinstance(error, StopIteration):
            # No future of a loop can have it: its caller would wait for ever.
            job.ended.set_exception(RuntimeError("work apart ended with StopIteration"))
        else:
            job.ended.set_exception(error)
        self._let_in()

    def _next(self) -> _Job | None:
        with self._lock:
            return self._queue.let_in()

    def _give_back(self, job: _Job) -> None:
        with self._lock:
            self._queue.give_back(job.owner)


#: Few at a time: each thread that computes may keep the loop from its turn for an interpreter's switch interval (5 ms).
#: One for one owner: two that compute are no faster under one interpreter's lock.
_THREADS = FairThreads(threads=2, share=1)


async def run_apart(work: Callable[[], _Result], *, owner: str) -> _Result:
    """What `work` gives, in a thread, in the turn of its `owner`: an organisation, or a server that all of them use.

    The work has an end of its own, because a thread cannot be stopped.
    """
    return await _THREADS.run(work, owner=owner)

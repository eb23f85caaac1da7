"""Whether another step may begin: a run may be paused, and a document may bound how much is under way."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.payloads import PAUSE, RESUME

_Handle = workflow.ChildWorkflowHandle[Any, Any]


class Throttle:
    """Held by each step while it is under way; workflows below are told of a pause, too."""

    def __init__(self, *, concurrency: int = 0, is_paused: bool = False) -> None:
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._going = asyncio.Event()
        if not is_paused:
            self._going.set()
        self._below: dict[str, _Handle] = {}
        self._telling: list[asyncio.Task[None]] = []

    @property
    def is_paused(self) -> bool:
        """Whether nothing more may begin for the time being."""
        return not self._going.is_set()

    def bound(self, concurrency: int) -> None:
        """Lets no more than so many steps be under way at once; 0 is no limit."""
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None

    def pause(self) -> None:
        """Lets nothing more begin; what is under way goes on."""
        self._going.clear()
        self._tell(PAUSE)

    def resume(self) -> None:
        """Lets steps begin again."""
        self._going.set()
        self._tell(RESUME)

    async def __aenter__(self) -> None:
        while True:
            await self._going.wait()
            if self._slots is None:
                return
            await self._slots.acquire()
            if not self.is_paused:
                return
            self._slots.release()

    async def __aexit__(self, *_: object) -> None:
        if self._slots is not None:
            self._slots.release()

    @contextmanager
    def telling(self, handle: _Handle, *, is_paused: bool) -> Iterator[None]:
        """A workflow below, which is told of pauses as long as it runs; `is_paused` is what it was started with."""
        self._below[handle.id] = handle
        # Until it has started nobody can tell it anything.
        if self.is_paused is not is_paused and workflow.patched("told-once-started"):
            self._tell_one(handle, PAUSE if self.is_paused else RESUME)
        try:
            yield
        finally:
            del self._below[handle.id]

    def _tell(self, signal: str) -> None:
        for handle in self._below.values():
            self._tell_one(handle, signal)

    def _tell_one(self, handle: _Handle, signal: str) -> None:
        # Held until it ends: nobody waits for it.
        self._telling.append(asyncio.create_task(_tell(handle, signal)))


async def _tell(handle: _Handle, signal: str) -> None:
    # A workflow that has just ended needs no telling.
    with suppress(FailureError):
        await handle.signal(signal)

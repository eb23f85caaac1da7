"""A server with an event loop in a thread of its own, beside code that does not wait for it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, TypeVar

_START_TIMEOUT_SECONDS, _STOP_TIMEOUT_SECONDS = 30.0, 30.0

_Server = TypeVar("_Server")


class BackgroundServer(Generic[_Server]):
    """Enters what `serve` makes, in its thread; use it as a context manager, which gives what that one gives."""

    def __init__(self, serve: Callable[[], AbstractAsyncContextManager[_Server]], *, name: str) -> None:
        self._serve, self._name = serve, name
        self._ready = threading.Event()
        self._entered: list[_Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=name, daemon=True)

    def __enter__(self) -> _Server:
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_SECONDS) or not self._entered:
            raise RuntimeError(f"the {self._name} did not start")
        return self._entered[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stopped is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
        # It ends with the process at the latest.
        self._thread.join(_STOP_TIMEOUT_SECONDS)

    async def _run(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._serve() as entered:
                self._entered.append(entered)
                self._ready.set()
                await self._stopped.wait()
        finally:
            self._ready.set()

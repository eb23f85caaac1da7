"""Who compiles next: one module at a time, organisations in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class CompileTurns:
    """Compiling takes every core, so one at a time; whoever has many modules waits behind others with one."""

    def __init__(self) -> None:
        self._everyones = asyncio.Lock()
        #: Locks are kept by those who hold them or wait for them.
        self._shares: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, share: str, *, is_first: bool) -> AsyncIterator[None]:
        """The next turn of `share`, of which at most one waits for everyone's; what is first waits for its own only."""
        own = self._shares.setdefault(share, asyncio.Lock())
        async with own:
            if is_first:
                yield
                return
            async with self._everyones:
                yield

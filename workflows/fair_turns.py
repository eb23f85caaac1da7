"""Turns at something that few can use at once: no organisation has all of them, and those that wait go in turn."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workflows.errors import ServerOccupied


class FairTurns:
    """`places` turns at once, `share` of them of one organisation, of which `most_waiting` may wait so many seconds."""

    def __init__(self, *, places: int, share: int, most_waiting: int, wait_seconds: float) -> None:
        self._free, self._share = places, share
        self._most_waiting, self._wait_seconds = most_waiting, wait_seconds
        self._taken: Counter[str] = Counter()
        #: The organisation that was let in last is at the end.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, org_id: str) -> AsyncIterator[None]:
        """A turn for the block; raises ServerOccupied."""
        await self.take(org_id)
        try:
            yield
        finally:
            self.give_back(org_id)

    async def take(self, org_id: str) -> None:
        """Waits for a turn, which lasts until it is given back; raises ServerOccupied."""
        if len(self._waiting.get(org_id, ())) >= self._most_waiting:
            raise ServerOccupied
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(org_id, deque()).append(turn)
        self._let_in()
        try:
            async with asyncio.timeout(self._wait_seconds):
                # Shielded: whether it was given in the very moment in which its taker leaves, it can then tell.
                await asyncio.shield(turn)
        except BaseException as error:
            self._leave(org_id, turn)
            if isinstance(error, TimeoutError):
                raise ServerOccupied from error
            raise

    def give_back(self, org_id: str) -> None:
        """Ends a turn that was taken."""
        self._free += 1
        self._taken[org_id] -= 1
        if self._taken[org_id] == 0:
            del self._taken[org_id]
        self._let_in()

    def _leave(self, org_id: str, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.give_back(org_id)
            return
        queue = self._waiting[org_id]
        queue.remove(turn)
        if not queue:
            del self._waiting[org_id]

    def _let_in(self) -> None:
        while (org_id := self._next()) is not None:
            self._free -= 1
            self._taken[org_id] += 1
            queue = self._waiting.pop(org_id)
            queue.popleft().set_result(None)
            if queue:
                self._waiting[org_id] = queue

    def _next(self) -> str | None:
        if not self._free:
            return None
        return next((org_id for org_id in self._waiting if self._taken[org_id] < self._share), None)

"""Turns at something that few can use at once: no organisation has all of them, and those that wait go in turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentflow.fair_queue import FairQueue
from workflows.errors import ServerOccupied


class FairTurns:
    """`places` turns at once, `share` of them of one organisation, of which `most_waiting` may wait so many seconds."""

    def __init__(self, *, places: int, share: int, most_waiting: int, wait_seconds: float) -> None:
        self._queue = FairQueue[asyncio.Future[None]](places=places, share=share)
        self._most_waiting, self._wait_seconds = most_waiting, wait_seconds

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
        if self._queue.count(org_id) >= self._most_waiting:
            raise ServerOccupied
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.add(org_id, turn)
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
        self._queue.give_back(org_id)
        self._let_in()

    def _leave(self, org_id: str, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.give_back(org_id)
        else:
            self._queue.remove(org_id, turn)

    def _let_in(self) -> None:
        while (turn := self._queue.let_in()) is not None:
            turn.set_result(None)

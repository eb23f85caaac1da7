"""How much memory the processes that a worker starts may take together, whatever their number."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class MemoryBudget:
    """Bytes that are lent out and come back; who comes first is served first."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.lent_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def lend(self, wanted_bytes: int) -> AsyncIterator[int]:
        """Waits until so much is free; what comes out is the loan: never more than there is at all."""
        loan = min(wanted_bytes, self.total_bytes)
        await self._take(loan)
        try:
            yield loan
        finally:
            self._give_back(loan)

    async def _take(self, loan: int) -> None:
        if not self._waiting and self.lent_bytes + loan <= self.total_bytes:
            self.lent_bytes += loan
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((loan, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(loan)
            else:
                # The others may have waited for this one only.
                self._waiting.remove((loan, turn))
                self._serve()
            raise

    def _give_back(self, loan: int) -> None:
        self.lent_bytes -= loan
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self.lent_bytes + self._waiting[0][0] <= self.total_bytes:
            loan, turn = self._waiting.popleft()
            if not turn.done():
                self.lent_bytes += loan
                turn.set_result(None)

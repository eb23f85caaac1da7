"""Waits of tests: each has a deadline, and says what it waited for when that passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_Found = TypeVar("_Found")

#: For anything that a busy machine may take its time for; a test that passes never waits so long.
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.02


@asynccontextmanager
async def deadline(what: str | Callable[[], str], *, seconds: float = PATIENCE_SECONDS) -> AsyncIterator[None]:
    """Raises AssertionError with `what` was waited for when the block takes longer."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise AssertionError(f"waited {seconds:g} s for {what if isinstance(what, str) else what()}") from error


async def until(
    look: Callable[[], Awaitable[_Found | None]], what: str = "", *, seconds: float = PATIENCE_SECONDS
) -> _Found:
    """What `look` gives once that is something; `what` is told when that does not come."""
    last: Any = None

    def waited_for() -> str:
        return f"{what or getattr(look, '__qualname__', repr(look))}, and last found {last!r}"

    async with deadline(waited_for, seconds=seconds):
        while True:
            last = found = await look()
            if found:
                return found
            await asyncio.sleep(_LOOK_SECONDS)

"""Work that keeps a processor busy, away from the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")

#: Few at a time: each thread that computes may keep the loop from its turn for an interpreter's switch interval (5 ms).
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="heavy")


async def run_apart(work: Callable[[], _Result]) -> _Result:
    """What `work` gives, in a thread; it has an end of its own, because a thread cannot be cancelled."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)

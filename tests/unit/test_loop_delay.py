import asyncio
import time
from collections.abc import Callable

import pytest

from tests.loop_delay import LoopDelay

KEPT_SECONDS = 0.05
#: A beat may be due in two milliseconds when what keeps the loop begins, and was late only from then on.
LEAST_SECONDS = 0.045


def compute() -> None:
    began = time.thread_time()
    while time.thread_time() - began < KEPT_SECONDS:
        pass


def nothing() -> None:
    pass


@pytest.mark.parametrize(("first", "last"), [(compute, nothing), (nothing, compute)], ids=["first", "last"])
async def test_what_keeps_the_loop_counts_from_the_first_statement_to_the_last(
    first: Callable[[], None], last: Callable[[], None]
) -> None:
    async with LoopDelay() as delay:
        first()
        await asyncio.sleep(0)
        last()

    assert LEAST_SECONDS < delay.worst_seconds


async def test_a_block_that_never_waits_is_measured_as_well() -> None:
    async with LoopDelay() as delay:
        compute()

    assert LEAST_SECONDS < delay.worst_seconds


async def test_a_block_that_fails_is_measured_to_its_end() -> None:
    delay = LoopDelay()

    async def fail() -> None:
        async with delay:
            compute()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert LEAST_SECONDS < delay.worst_seconds

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from agentflow.heavy_work import FairThreads, run_apart
from tests.deadline import PATIENCE_SECONDS


class Begun:
    """What was begun, in this order; pieces of `held` end once they are let go."""

    def __init__(self, *held: str) -> None:
        self.names: list[str] = []
        self._held, self._let_go = held, threading.Event()

    def piece(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.names.append(name)
            if name in self._held:
                assert self._let_go.wait(PATIENCE_SECONDS)
            return name

        return work

    def let_go(self) -> None:
        self._let_go.set()


async def waiting(threads: FairThreads, begun: Begun, owner: str, *names: str) -> list[asyncio.Task[str]]:
    """Pieces of an owner, all of them handed in."""
    tasks = [asyncio.create_task(threads.run(begun.piece(name), owner=owner)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_what_one_organisation_has_under_way_and_waiting_keeps_no_other() -> None:
    threads, begun = FairThreads(threads=2, share=1), Begun("a0")

    async with asyncio.timeout(PATIENCE_SECONDS):
        many = await waiting(threads, begun, "a", *(f"a{number}" for number in range(50)))
        assert "b" == await threads.run(begun.piece("b"), owner="b")
        assert {"a0", "b"} == set(begun.names)
        begun.let_go()
        assert [f"a{number}" for number in range(50)] == await asyncio.gather(*many)


async def test_organisations_that_wait_for_one_thread_go_in_turn() -> None:
    threads, begun = FairThreads(threads=1, share=1), Begun("a0")

    async with asyncio.timeout(PATIENCE_SECONDS):
        many = await waiting(threads, begun, "a", *(f"a{number}" for number in range(50)))
        few = await waiting(threads, begun, "b", "b0", "b1")
        one = await waiting(threads, begun, "c", "c0")
        begun.let_go()
        await asyncio.gather(*many, *few, *one)

    # The first of "a" was under way already, and "a" has not had a turn since it waits.
    assert ["a0", "a1", "b0", "c0", "a2", "b1", "a3", "a4"] == begun.names[:8]


async def test_a_piece_whose_caller_left_before_its_turn_is_not_begun() -> None:
    threads, begun = FairThreads(threads=1, share=1), Begun("a0")

    async with asyncio.timeout(PATIENCE_SECONDS):
        first, unwanted, last = await waiting(threads, begun, "a", "a0", "a1", "a2")
        unwanted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unwanted
        begun.let_go()
        await asyncio.gather(first, last)

    assert ["a0", "a2"] == begun.names


async def test_what_a_piece_raises_reaches_its_caller_and_takes_no_place() -> None:
    threads = FairThreads(threads=1, share=1)

    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await threads.run(lambda: 1 // 0, owner="a")
        assert 1 == await threads.run(lambda: 1, owner="a")


def test_pieces_of_two_loops_share_the_threads() -> None:
    threads, begun = FairThreads(threads=1, share=1), Begun("a0")

    async def first() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            held, later = await waiting(threads, begun, "a", "a0", "a1")
            other = asyncio.create_task(asyncio.to_thread(asyncio.run, second()))
            await asyncio.gather(held, later, other)

    async def second() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            (mine,) = await waiting(threads, begun, "b", "b0")
            begun.let_go()
            assert "b0" == await mine

    asyncio.run(first())
    assert {"a0", "a1", "b0"} == set(begun.names)


async def test_many_pieces_whose_callers_left_are_passed_over() -> None:
    threads, begun = FairThreads(threads=1, share=1), Begun("a0")

    async with asyncio.timeout(PATIENCE_SECONDS):
        first, *unwanted = await waiting(threads, begun, "a", *(f"a{number}" for number in range(5_000)))
        for task in unwanted:
            task.cancel()
        await asyncio.gather(*unwanted, return_exceptions=True)
        begun.let_go()
        assert "a0" == await first
        assert "b" == await threads.run(begun.piece("b"), owner="b")

    assert ["a0", "b"] == begun.names


async def test_what_a_piece_held_goes_with_its_error() -> None:
    threads = FairThreads(threads=1, share=1)

    class Large:
        pass

    async def failed() -> weakref.ref[Large]:
        large = Large()
        kept = weakref.ref(large)
        with pytest.raises(LookupError):
            await threads.run(partial(fail, large), owner="a")
        return kept

    def fail(_held: Large) -> None:
        raise LookupError

    gc.disable()
    try:
        kept = await failed()
        # The thread has let go of the piece before when it does the next.
        await threads.run(int, owner="a")
        assert kept() is None
    finally:
        gc.enable()


async def test_a_piece_that_ends_with_a_stop_of_an_iterator_ends_for_its_caller_too() -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await run_apart(lambda: next(iter(())), owner="a")

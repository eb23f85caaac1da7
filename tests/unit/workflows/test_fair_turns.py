import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from workflows.errors import ServerOccupied
from workflows.fair_turns import FairTurns


def turns(*, places: int = 2, share: int = 1, most_waiting: int = 10, wait_seconds: float = 60) -> FairTurns:
    return FairTurns(places=places, share=share, most_waiting=most_waiting, wait_seconds=wait_seconds)


@asynccontextmanager
async def waiting(fair: FairTurns, served: list[str], *orgs: str) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that wait for a turn each, in this order."""

    async def take(org_id: str) -> None:
        async with fair.turn(org_id):
            served.append(org_id)

    tasks = [asyncio.create_task(take(org_id)) for org_id in orgs]
    await asyncio.sleep(0)
    yield tasks
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_organisation_leaves_a_place_for_others() -> None:
    fair, served = turns(), list[str]()

    async with AsyncExitStack() as stack, fair.turn("greedy"):
        await stack.enter_async_context(waiting(fair, served, "greedy", "other"))
        async with asyncio.timeout(10), fair.turn("third"):
            pass
        assert ["other"] == served

    assert ["other", "greedy"] == served


async def test_organisations_go_in_turn_and_each_in_its_order() -> None:
    fair, served = turns(places=1), list[str]()

    async with AsyncExitStack() as stack, fair.turn("x"):
        # The turn is given back before the stack waits for the others.
        await stack.enter_async_context(waiting(fair, served, "a", "a", "a", "b", "c", "b"))

    assert ["a", "b", "c", "a", "b", "a"] == served


async def test_more_than_may_wait_is_refused_and_others_are_not() -> None:
    fair, served = turns(most_waiting=2), list[str]()

    async with AsyncExitStack() as stack, fair.turn("a"):
        await stack.enter_async_context(waiting(fair, served, "a", "a"))
        with pytest.raises(ServerOccupied):
            async with fair.turn("a"):
                pass
        async with asyncio.timeout(10), fair.turn("b"):
            pass

    assert ["a", "a"] == served


async def test_a_wait_that_takes_too_long_is_refused_and_takes_no_turn() -> None:
    fair = turns(places=1, wait_seconds=0.01)

    async with fair.turn("a"):
        with pytest.raises(ServerOccupied):
            async with fair.turn("b"):
                pass
    async with asyncio.timeout(10), fair.turn("b"):
        pass


async def test_who_leaves_while_waiting_or_in_the_moment_of_being_let_in_takes_no_turn() -> None:
    fair, served = turns(places=1), list[str]()

    async with AsyncExitStack() as stack:
        async with fair.turn("x"):
            leaving = await stack.enter_async_context(waiting(fair, served, "a", "b"))
            leaving[0].cancel()
            await asyncio.sleep(0)
        # "b" has just been let in, and does not know it yet.
        leaving[1].cancel()

    async with asyncio.timeout(10), fair.turn("c"):
        pass
    assert [] == served

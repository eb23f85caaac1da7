import asyncio

import pytest

from activities.readers.memory_budget import MemoryBudget


async def hold(budget: MemoryBudget, wanted: int, taken: list[int], release: asyncio.Event) -> None:
    async with budget.lend(wanted) as loan:
        taken.append(loan)
        await release.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_does_not_fit_waits_its_turn_and_nobody_overtakes() -> None:
    budget, taken = MemoryBudget(100), list[int]()
    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, 60, taken, first))]
    await settle()
    tasks += [asyncio.create_task(hold(budget, wanted, taken, rest)) for wanted in (50, 10)]
    await settle()
    before = list(taken)

    first.set()
    await settle()

    assert ([60], [60, 50, 10]) == (before, taken)
    rest.set()
    await asyncio.gather(*tasks)
    assert 0 == budget.lent_bytes


async def test_who_wants_more_than_there_is_gets_all_there_is() -> None:
    async with MemoryBudget(100).lend(1_000) as loan:
        assert 100 == loan


async def test_who_gives_up_waiting_holds_up_nobody() -> None:
    budget, taken, release = MemoryBudget(100), list[int](), asyncio.Event()
    holding = asyncio.create_task(hold(budget, 60, taken, release))
    await settle()
    impatient = asyncio.create_task(hold(budget, 100, taken, release))
    small = asyncio.create_task(hold(budget, 30, taken, release))
    await settle()

    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await settle()

    assert [60, 30] == taken
    release.set()
    await asyncio.gather(holding, small)
    assert 0 == budget.lent_bytes

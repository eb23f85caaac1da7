import asyncio

import pytest

from tests.deadline import deadline, until


async def test_a_wait_that_takes_too_long_says_what_it_was_for() -> None:
    with pytest.raises(AssertionError, match=r"^waited 0\.01 s for Godot$"):
        async with deadline("Godot", seconds=0.01):
            await asyncio.Event().wait()


async def test_a_time_limit_within_a_wait_is_told_as_it_is() -> None:
    with pytest.raises(TimeoutError):
        async with deadline("Godot"):
            raise TimeoutError


async def test_looking_again_and_again_ends_with_what_was_found() -> None:
    found = iter([None, 0, "", 3])

    async def look() -> object:
        return next(found)

    assert 3 == await until(look, "three")


async def test_looking_in_vain_says_what_was_found_last() -> None:
    async def look() -> list[int]:
        return []

    with pytest.raises(AssertionError, match=r"waited 0\.01 s for three, and last found \[\]"):
        await until(look, "three", seconds=0.01)
    with pytest.raises(AssertionError, match=r"waited 0\.01 s for .*look, and last"):
        await until(look, seconds=0.01)

import asyncio
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from activities.sandbox.errors import GuestCrashed, GuestRaised, ModuleInvalid, OutOfTime
from activities.sandbox.guest import Guest
from activities.sandbox.models import CodeLanguage, CodeLimits, CodeRequest, CodeResult
from activities.sandbox.runner import SandboxRunner
from tests.deadline import deadline, until
from tests.unit.activities.sandbox.requests import ECHO, LIMITS, compiled_modules_directory, javascript, python, wasm

#: Fuel for an hour.
ENDLESS = CodeLimits(fuel=1_000_000_000_000, wall_seconds=300)
ENDLESS_PYTHON = python("def main(input):\n    while True: pass", limits=ENDLESS)
ENDLESS_JAVASCRIPT = javascript("function main() { for (;;); }", limits=ENDLESS)
ENDLESS_PRINTING = python("def main(input):\n    while True: print('x')", limits=ENDLESS)


@pytest.fixture
def small_runner(request: pytest.FixtureRequest) -> SandboxRunner:
    return SandboxRunner(compiled_modules_directory(request), concurrency=1)


async def has_begun() -> None:
    """Waits until a guest is in its thread, and some way into its code."""

    async def look() -> int:
        return guests_running()

    await until(look, "a guest to begin")
    await asyncio.sleep(0.2)


def guests_running() -> int:
    """How many threads of runners stand in a guest."""
    frames = sys._current_frames()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return sum("sandbox" in names.get(ident, "") and is_in_guest(frame) for ident, frame in frames.items())


def is_in_guest(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is Guest.run.__code__:
            return True
        frame = frame.f_back
    return False


@pytest.mark.parametrize(
    "request_", [ENDLESS_PYTHON, ENDLESS_JAVASCRIPT, ENDLESS_PRINTING], ids=["python", "js", "printing"]
)
async def test_cancelling_stops_the_guest_at_once_and_frees_its_place(
    small_runner: SandboxRunner, request_: CodeRequest
) -> None:
    running = asyncio.create_task(small_runner.run(request_))
    await has_begun()

    running.cancel()
    # By itself it would go on for five times as long.
    async with deadline("the guest to stop"):
        with pytest.raises(asyncio.CancelledError):
            await running

    assert 0 == guests_running()
    assert 3 == (await small_runner.run(javascript("export default () => 3"))).output
    small_runner.close()


async def test_the_event_loop_goes_on_while_guests_run(runner: SandboxRunner) -> None:
    guests = [asyncio.create_task(runner.run(request)) for request in (ENDLESS_PYTHON, ENDLESS_PRINTING)]
    await has_begun()

    for _ in range(20):
        await asyncio.sleep(0.01)
        # Had they kept the loop, it would come back when they are at their end.
        assert [False, False] == [guest.done() for guest in guests]

    for guest in guests:
        guest.cancel()
    outcomes = await asyncio.gather(*guests, return_exceptions=True)
    assert [asyncio.CancelledError] * 2 == [type(outcome) for outcome in outcomes]


async def test_no_more_guests_run_than_there_are_places(small_runner: SandboxRunner) -> None:
    limits = replace(LIMITS, fuel=ENDLESS.fuel, wall_seconds=0.3)
    guests = asyncio.gather(
        *(small_runner.run(replace(ENDLESS_JAVASCRIPT, limits=limits)) for _ in range(3)), return_exceptions=True
    )

    most = 0
    while not guests.done():
        most = max(most, guests_running())
        await asyncio.sleep(0.01)

    assert [OutOfTime] * 3 == [type(outcome) for outcome in await guests]
    assert 1 == most
    small_runner.close()


async def test_a_guest_that_waited_for_its_place_has_its_time_still(small_runner: SandboxRunner) -> None:
    limits = replace(ENDLESS, wall_seconds=2.5)
    slow = asyncio.create_task(small_runner.run(replace(ENDLESS_JAVASCRIPT, limits=limits)))
    await has_begun()

    # Less than what it waits for its place.
    limits = replace(ENDLESS, wall_seconds=2.0)
    quick = await small_runner.run(replace(javascript("export default () => 1"), limits=limits))

    assert 1 == quick.output
    with pytest.raises(OutOfTime):
        await slow
    small_runner.close()


async def test_many_guests_at_once_do_not_get_into_each_others_way(runner: SandboxRunner) -> None:
    async def attempt(number: int) -> object:
        requests = (
            javascript("export default (number) => number", input=number),
            javascript("export default (number) => { throw new Error(String(number)); }", input=number),
            wasm(ECHO, input=number),
            wasm('(module (func (export "_start") unreachable))'),
        )
        return await runner.run(requests[number % len(requests)])

    outcomes = await asyncio.gather(*(attempt(number) for number in range(64)), return_exceptions=True)

    expected = [(n, f"Error: {n}", n, "it trapped (unreachable)")[n % 4] for n in range(64)]
    assert expected == [
        outcome.output if isinstance(outcome, CodeResult) else reason_of(outcome) for outcome in outcomes
    ]


def reason_of(outcome: object) -> str:
    assert isinstance(outcome, GuestRaised | GuestCrashed)
    return outcome.reason


async def test_a_compiled_module_that_vanishes_is_compiled_again(tmp_path: Path) -> None:
    runner = SandboxRunner(tmp_path / "modules")
    request = wasm(ECHO, input=[1])
    await runner.run(request)
    for path in (tmp_path / "modules").glob("*.cwasm"):
        path.unlink()

    assert [1] == (await runner.run(request)).output
    runner.close()


async def test_interpreters_can_be_compiled_ahead(request: pytest.FixtureRequest) -> None:
    directory = compiled_modules_directory(request)
    runner = SandboxRunner(directory)

    await runner.warm(CodeLanguage.PYTHON, CodeLanguage.JAVASCRIPT)

    assert len(list(directory.glob("*.cwasm"))) >= 2
    runner.close()


async def test_a_compiler_that_dies_of_a_module_is_the_modules_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.sandbox.compiled_modules.COMPILE_TIMEOUT_SECONDS", 0.01)
    runner = SandboxRunner(tmp_path / "modules")

    with pytest.raises(ModuleInvalid, match=r"took over 0.01 s"):
        await runner.run(wasm(ECHO))
    runner.close()

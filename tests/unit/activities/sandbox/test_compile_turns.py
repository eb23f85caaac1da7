import asyncio

from activities.sandbox.compile_turns import CompileTurns


class Compilers:
    """Tasks that take a turn and keep it until `go` is set."""

    def __init__(self) -> None:
        self.turns, self.go, self.order = CompileTurns(), asyncio.Event(), list[str]()

    async def compile(self, name: str, share: str, *, is_first: bool = False) -> None:
        async with self.turns.turn(share, is_first=is_first):
            self.order.append(name)
            await self.go.wait()

    async def start(self, *tasks: asyncio.Task[None]) -> None:
        """Lets each task come as far as it can."""
        for _ in range(10 * len(tasks)):
            await asyncio.sleep(0)


async def test_whoever_has_many_modules_waits_behind_one_of_another() -> None:
    compilers = Compilers()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(compilers.compile(f"a{number}", "a")) for number in range(3)]
        tasks.append(group.create_task(compilers.compile("b0", "b")))
        await compilers.start(*tasks)
        assert ["a0"] == compilers.order

        compilers.go.set()

    assert ["a0", "b0", "a1", "a2"] == compilers.order


async def test_an_interpreter_waits_for_no_stranger() -> None:
    compilers = Compilers()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(compilers.compile("a0", "a")),
            group.create_task(compilers.compile("python", "interpreter", is_first=True)),
            group.create_task(compilers.compile("javascript", "interpreter", is_first=True)),
        ]
        await compilers.start(*tasks)
        assert ["a0", "python"] == compilers.order

        compilers.go.set()

    assert ["a0", "python", "javascript"] == compilers.order


async def test_a_turn_that_is_cancelled_passes_on() -> None:
    compilers = Compilers()
    first = asyncio.create_task(compilers.compile("a0", "a"))
    second = asyncio.create_task(compilers.compile("b0", "b"))
    await compilers.start(first, second)

    first.cancel()
    await compilers.start(first, second)

    assert ["a0", "b0"] == compilers.order
    compilers.go.set()
    await second

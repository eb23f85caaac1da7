import struct

import pytest
from wasmtime import Engine, Limits, Memory, MemoryType, Store

from activities.sandbox.guest_memory import BadAddress, GuestMemory
from activities.sandbox.wasi_world import ROOT, STDERR, STDIN, STDOUT, Errno, WasiWorld

NOW = 1_772_600_767_250_000_000
#: Where the tests let the guest want its answers.
AT, VECTORS, CONTENT = 0, 64, 256


class World(WasiWorld):
    """A world with a memory of its own, and how often it ended its guest."""

    def __init__(self, *, seed: int = 7) -> None:
        store = Store(Engine())
        self.ends = 0
        super().__init__(
            memory=GuestMemory(Memory(store, MemoryType(Limits(1, 1))), store),
            arguments=(b"qjs", b"--module"),
            stdin=b"input",
            files={b"main.js": b"export {}"},
            now_nanoseconds=NOW,
            seed=seed,
            most_output_bytes=8,
            most_log_bytes=8,
            end=self.count_end,
        )

    def count_end(self) -> None:
        self.ends += 1

    def number(self, at: int = AT) -> int:
        return int(struct.unpack("<I", self.memory.read(at, 4))[0])

    def put_vectors(self, *vectors: tuple[int, int]) -> None:
        self.memory.write(VECTORS, b"".join(struct.pack("<II", *vector) for vector in vectors))

    def put_subscriptions(self, *subscriptions: tuple[int, int, int, int, int]) -> None:
        """Userdata, kind, clock, nanoseconds, flags of each."""
        packed = [struct.pack("<QB7xIxxxxQQHxxxxxx", *rest, 0, flags) for *rest, flags in subscriptions]
        self.memory.write(CONTENT, b"".join(packed))

    def open(self, path: bytes, *, creation: int = 0, directory: int = ROOT) -> Errno:
        self.memory.write(CONTENT, path)
        return self.path_open(directory, 1, CONTENT, len(path), creation, 0, 0, 0, AT)


@pytest.fixture
def world() -> World:
    return World()


def test_arguments_are_laid_out_one_after_the_other(world: World) -> None:
    world.args_sizes_get(AT, AT + 4)
    world.args_get(VECTORS, CONTENT)

    assert (2, 13) == (world.number(AT), world.number(AT + 4))
    assert b"qjs\x00--module\x00" == world.memory.read(CONTENT, 13)
    assert (CONTENT, CONTENT + 4) == (world.number(VECTORS), world.number(VECTORS + 4))


def test_the_input_is_read_piece_by_piece_and_then_is_at_its_end(world: World) -> None:
    world.put_vectors((CONTENT, 2), (CONTENT + 2, 2))

    sizes = []
    for _ in range(3):
        assert Errno.SUCCESS == world.fd_read(STDIN, VECTORS, 2, AT)
        sizes.append(world.number())

    assert [4, 1, 0] == sizes
    assert b"tnpu"[::-1] not in world.memory.read(CONTENT, 4)
    assert b"t" == world.memory.read(CONTENT, 1)


def test_more_vectors_than_are_taken_at_once_are_a_short_write(world: World) -> None:
    world.put_vectors(*((CONTENT, 0) for _ in range(63)), (CONTENT, 3), (CONTENT, 4))

    assert Errno.SUCCESS == world.fd_write(STDOUT, VECTORS, 65, AT)
    assert (3, 3) == (world.number(), len(world.output))


def test_output_over_the_limit_is_not_kept_and_ends_the_guest(world: World) -> None:
    world.put_vectors((CONTENT, 8), (CONTENT, 1))

    world.fd_write(STDOUT, VECTORS, 1, AT)
    assert (8, False) == (len(world.output), world.is_over)

    world.fd_write(STDOUT, VECTORS + 8, 1, AT)
    assert (8, True, 1) == (len(world.output), world.is_over, world.ends)


def test_logs_over_the_limit_are_counted_and_the_guest_goes_on(world: World) -> None:
    world.put_vectors((CONTENT, 6), (CONTENT, 6))

    assert Errno.SUCCESS == world.fd_write(STDERR, VECTORS, 2, AT)
    assert (12, 8, 4, False) == (world.number(), len(world.logs), world.cut_log_bytes, world.is_over)


def test_random_numbers_follow_from_the_seed_and_from_how_many_were_drawn() -> None:
    drawn: list[bytes] = []
    for seed in (7, 7, 8):
        world = World(seed=seed)
        world.random_get(AT, 16)
        world.random_get(AT + 16, 16)
        drawn.append(world.memory.read(AT, 32))

    assert drawn[0] == drawn[1]
    assert 5 == len({drawn[0][:16], drawn[0][16:], drawn[2][:16], drawn[2][16:], bytes(16)})


def test_more_randomness_than_a_call_gives_is_refused(world: World) -> None:
    assert Errno.INVAL == world.random_get(AT, 65 * 1024)


def test_only_the_very_files_that_were_given_can_be_opened(world: World) -> None:
    outcomes = [
        world.open(path)
        for path in (b"main.js", b"./main.js", b"../main.js", b"/main.js", b"main.js\x00", b"", b"etc/passwd")
    ]

    assert [Errno.SUCCESS, *[Errno.NOENT] * 6] == outcomes
    assert "path_open 'etc/passwd'" == world.refusals[-1]


def test_a_file_is_read_and_never_written(world: World) -> None:
    assert Errno.ROFS == world.open(b"main.js", creation=1)
    world.open(b"main.js")
    descriptor = world.number()
    world.put_vectors((CONTENT, 64))

    assert Errno.SUCCESS == world.fd_seek(descriptor, 7, 0, AT)
    assert Errno.SUCCESS == world.fd_read(descriptor, VECTORS, 1, AT)
    assert b"{}" == world.memory.read(CONTENT, world.number())
    assert Errno.BADF == world.fd_write(descriptor, VECTORS, 1, AT)
    assert Errno.INVAL == world.fd_seek(descriptor, (1 << 64) - 99, 1, AT)
    assert [Errno.SUCCESS, Errno.BADF] == [world.fd_close(descriptor), world.fd_close(descriptor)]


def test_files_are_opened_a_few_at_a_time(world: World) -> None:
    outcomes = [world.open(b"main.js") for _ in range(20)]

    assert {Errno.SUCCESS, Errno.MFILE} == set(outcomes)
    assert Errno.SUCCESS == world.fd_close(4)
    assert Errno.SUCCESS == world.open(b"main.js")


def test_a_sleep_moves_every_clock_by_the_shortest_wait(world: World) -> None:
    world.put_subscriptions((1, 0, 1, 5_000, 0), (2, 0, 0, NOW + 3_000, 1))

    assert Errno.SUCCESS == world.poll_oneoff(CONTENT, 1024, 2, AT)

    world.clock_time_get(0, 0, AT + 8)
    assert (1, 2) == (world.number(), world.number(1024))
    assert NOW + 3_000 == struct.unpack("<Q", world.memory.read(AT + 8, 8))[0]


def test_a_stream_is_ready_before_any_time_has_passed(world: World) -> None:
    world.put_subscriptions((1, 0, 1, 5_000, 0), (2, 1, 0, 0, 0))

    world.poll_oneoff(CONTENT, 1024, 2, AT)

    world.clock_time_get(1, 0, AT + 8)
    assert (1, 2, 0) == (world.number(), world.number(1024), world.number(AT + 8))


@pytest.mark.parametrize("subscription", [(1, 9, 0, 0, 0), (1, 0, 1, (1 << 64) - 1, 0)], ids=["kind", "for ever"])
def test_a_wait_that_makes_no_sense_is_refused(world: World, subscription: tuple[int, int, int, int, int]) -> None:
    world.put_subscriptions(subscription)

    assert Errno.INVAL == world.poll_oneoff(CONTENT, 1024, 1, AT)


def test_addresses_are_held_to_the_memory_there_is(world: World) -> None:
    world.memory.write(65_532, b"last")

    for address, size in ((65_533, 4), (2**32 - 1, 1), (0, 65_537)):
        with pytest.raises(BadAddress):
            world.memory.read(address, size)
    assert b"last" == world.memory.read(65_532, 4)

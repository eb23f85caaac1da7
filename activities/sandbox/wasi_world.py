"""All that a guest can see or do: WASI preview 1, answered here, from memory, by plain Python.

wasmtime's own WASI is not linked, so no call of a guest reaches the operating system. There are standard
streams (buffers), a few read-only files (bytes), a clock that stands still but for the guest's own sleep, and
randomness that follows from a seed. Everything else is refused, and noted.

The interface: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
"""

import hashlib
import struct
from collections.abc import Callable, Mapping
from enum import IntEnum

from activities.sandbox.guest_memory import GuestMemory

STDIN, STDOUT, STDERR, ROOT = 0, 1, 2, 3
_FIRST_FILE = 4
_MOST_OPEN_FILES = 16
#: Of one read or write; more are left for the next, as any system may.
_MOST_VECTORS = 64
_MOST_SUBSCRIPTIONS = 64
_MOST_RANDOM_BYTES = 64 * 1024
_MOST_PATH_BYTES = 4096
_LONGEST_SLEEP_NANOSECONDS = 1 << 60
_MOST_REFUSALS = 32

_CHARACTER_DEVICE, _DIRECTORY, _REGULAR_FILE = 2, 3, 4
_ALL_RIGHTS = (1 << 30) - 1
_REALTIME_CLOCK, _LAST_CLOCK = 0, 3
_CLOCK_EVENT, _LAST_EVENT = 0, 2
_ABSOLUTE = 1
_SUBSCRIPTION = struct.Struct("<QB7xIxxxxQQHxxxxxx")
_EVENT = struct.Struct("<QHBxxxxxQHxxxxxx")


class Errno(IntEnum):
    """What WASI calls an outcome."""

    SUCCESS = 0
    BADF = 8
    FAULT = 21
    INVAL = 28
    MFILE = 41
    NOENT = 44
    NOSYS = 52
    ROFS = 69
    SPIPE = 70
    NOTCAPABLE = 76


class WasiWorld:
    """The world of one guest. Its methods are the functions of WASI by name, and answer with an errno."""

    def __init__(
        self,
        *,
        memory: GuestMemory,
        arguments: tuple[bytes, ...],
        stdin: bytes,
        files: Mapping[bytes, bytes],
        now_nanoseconds: int,
        seed: int,
        most_output_bytes: int,
        most_log_bytes: int,
        end: Callable[[], None],
    ) -> None:
        #: Replaced by the host when the guest's memory is there.
        self.memory = memory
        self._arguments, self._files = arguments, files
        self._open: dict[int, tuple[bytes, int]] = {STDIN: (stdin, 0)}
        self._now_nanoseconds, self._slept_nanoseconds = now_nanoseconds, 0
        self._seed, self._draws = str(seed).encode(), 0
        self._most_output_bytes, self._most_log_bytes = most_output_bytes, most_log_bytes
        self._end = end
        self.output, self.logs, self.cut_log_bytes = bytearray(), bytearray(), 0
        #: Set when the guest asked to leave; it gets no further than the next loop or call.
        self.exit_code: int | None = None
        self.output_overflowed = False
        #: What was refused, such as `path_open`: a guest that failed may have failed for it.
        self.refusals: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether the guest is on its way out, and nothing that it does counts."""
        return self.exit_code is not None or self.output_overflowed

    def refuse(self, name: str, errno: Errno = Errno.NOTCAPABLE) -> Errno:
        """Notes that something was asked for that there is not."""
        if len(self.refusals) < _MOST_REFUSALS:
            self.refusals.append(name)
        return errno

    def args_sizes_get(self, count_at: int, size_at: int) -> Errno:
        """How many arguments there are, and their bytes."""
        self.memory.write_uint32(count_at, len(self._arguments))
        self.memory.write_uint32(size_at, sum(len(argument) + 1 for argument in self._arguments))
        return Errno.SUCCESS

    def args_get(self, pointers_at: int, content_at: int) -> Errno:
        """The arguments."""
        for position, argument in enumerate(self._arguments):
            self.memory.write_uint32(pointers_at + 4 * position, content_at)
            self.memory.write(content_at, argument + b"\x00")
            content_at += len(argument) + 1
        return Errno.SUCCESS

    def environ_sizes_get(self, count_at: int, size_at: int) -> Errno:
        """There is no environment."""
        self.memory.write_uint32(count_at, 0)
        self.memory.write_uint32(size_at, 0)
        return Errno.SUCCESS

    def environ_get(self, _pointers_at: int, _content_at: int) -> Errno:
        """There is no environment."""
        return Errno.SUCCESS

    def clock_res_get(self, clock: int, resolution_at: int) -> Errno:
        """Clocks count nanoseconds."""
        if clock > _LAST_CLOCK:
            return Errno.INVAL
        self.memory.write_uint64(resolution_at, 1)
        return Errno.SUCCESS

    def clock_time_get(self, clock: int, _precision: int, time_at: int) -> Errno:
        """The instant of the request, or 0 for the clocks that count from a start, and the time slept since."""
        if clock > _LAST_CLOCK:
            return Errno.INVAL
        self.memory.write_uint64(time_at, self._time(clock))
        return Errno.SUCCESS

    def random_get(self, buffer_at: int, size: int) -> Errno:
        """The next bytes of the seed's stream: SHAKE-256 of the seed and the number of the draw."""
        if size > _MOST_RANDOM_BYTES:
            return Errno.INVAL
        self._draws += 1
        self.memory.write(buffer_at, hashlib.shake_256(b"%s:%d" % (self._seed, self._draws)).digest(size))
        return Errno.SUCCESS

    def fd_read(self, descriptor: int, vectors_at: int, vector_count: int, read_at: int) -> Errno:
        """Reads the input, or a file."""
        if descriptor not in self._open:
            return Errno.BADF
        content, start = self._open[descriptor]
        position = start
        for address, size in self._vectors(vectors_at, vector_count):
            part = content[position : position + size]
            self.memory.write(address, part)
            position += len(part)
        self._open[descriptor] = (content, position)
        self.memory.write_uint32(read_at, position - start)
        return Errno.SUCCESS

    def fd_write(self, descriptor: int, vectors_at: int, vector_count: int, written_at: int) -> Errno:
        """Writes the output, which may not overflow, or the logs, which are cut."""
        if descriptor not in (STDOUT, STDERR):
            return self.refuse("fd_write", Errno.BADF)
        vectors = self._vectors(vectors_at, vector_count)
        for address, size in vectors:
            if descriptor == STDERR:
                self._log(address, size)
            elif len(self.output) + size > self._most_output_bytes:
                self.output_overflowed = True
                self._end()
                return Errno.NOSYS
            else:
                self.output += self.memory.read(address, size)
        self.memory.write_uint32(written_at, sum(size for _, size in vectors) & 0xFFFF_FFFF)
        return Errno.SUCCESS

    def fd_close(self, descriptor: int) -> Errno:
        """Closes a file; the standard streams stay."""
        if descriptor >= _FIRST_FILE and self._open.pop(descriptor, None) is None:
            return Errno.BADF
        return Errno.SUCCESS

    def fd_seek(self, descriptor: int, offset: int, whence: int, position_at: int) -> Errno:
        """Moves within a file; streams have no position."""
        if descriptor < _FIRST_FILE:
            return Errno.SPIPE
        if descriptor not in self._open:
            return Errno.BADF
        content, position = self._open[descriptor]
        signed = offset - (1 << 64) if offset >= 1 << 63 else offset
        bases = {0: 0, 1: position, 2: len(content)}
        if whence not in bases or not 0 <= bases[whence] + signed <= len(content):
            return Errno.INVAL
        self._open[descriptor] = (content, bases[whence] + signed)
        self.memory.write_uint64(position_at, bases[whence] + signed)
        return Errno.SUCCESS

    def fd_tell(self, descriptor: int, position_at: int) -> Errno:
        """Where in a file the next read begins."""
        return self.fd_seek(descriptor, 0, 1, position_at)

    def fd_fdstat_get(self, descriptor: int, status_at: int) -> Errno:
        """What kind of thing a descriptor is."""
        kind = self._kind(descriptor)
        if kind is None:
            return Errno.BADF
        self.memory.write(status_at, struct.pack("<BxHxxxxQQ", kind, 0, _ALL_RIGHTS, _ALL_RIGHTS))
        return Errno.SUCCESS

    def fd_filestat_get(self, descriptor: int, status_at: int) -> Errno:
        """The size of a file, and nothing of its history."""
        kind = self._kind(descriptor)
        if kind is None:
            return Errno.BADF
        size = len(self._open[descriptor][0]) if kind == _REGULAR_FILE else 0
        self.memory.write(status_at, struct.pack("<QQB7xQQQQQ", 0, 0, kind, 1, size, 0, 0, 0))
        return Errno.SUCCESS

    def fd_prestat_get(self, descriptor: int, status_at: int) -> Errno:
        """The root is there for guests that were given files."""
        if descriptor != ROOT or not self._files:
            return Errno.BADF
        self.memory.write(status_at, struct.pack("<BxxxI", 0, 1))
        return Errno.SUCCESS

    def fd_prestat_dir_name(self, descriptor: int, name_at: int, size: int) -> Errno:
        """The root's name."""
        if descriptor != ROOT or not self._files or size < 1:
            return Errno.BADF
        self.memory.write(name_at, b"/")
        return Errno.SUCCESS

    def path_open(
        self,
        directory: int,
        _lookup: int,
        path_at: int,
        path_size: int,
        creation: int,
        _rights: int,
        _inherited: int,
        _flags: int,
        descriptor_at: int,
    ) -> Errno:
        """Opens one of the given files by its very name, for reading."""
        path = self.memory.read(path_at, min(path_size, _MOST_PATH_BYTES))
        named = f"path_open {path.decode('utf-8', errors='replace')!r}"
        if directory != ROOT or path not in self._files:
            return self.refuse(named, Errno.NOENT if self._files else Errno.NOTCAPABLE)
        if creation:
            return self.refuse(named, Errno.ROFS)
        if len(self._open) > _MOST_OPEN_FILES:
            return Errno.MFILE
        descriptor = next(number for number in range(_FIRST_FILE, _FIRST_FILE + 64) if number not in self._open)
        self._open[descriptor] = (self._files[path], 0)
        self.memory.write_uint32(descriptor_at, descriptor)
        return Errno.SUCCESS

    def poll_oneoff(self, subscriptions_at: int, events_at: int, count: int, occurred_at: int) -> Errno:
        """Streams are always ready, and sleep is over at once: the clock is moved instead of waited for."""
        if not 0 < count <= _MOST_SUBSCRIPTIONS:
            return Errno.INVAL
        content = self.memory.read(subscriptions_at, _SUBSCRIPTION.size * count)
        subscriptions = list(_SUBSCRIPTION.iter_unpack(content))
        if any(kind > _LAST_EVENT for _, kind, *_ in subscriptions):
            return Errno.INVAL
        events = [(userdata, kind) for userdata, kind, *_ in subscriptions if kind != _CLOCK_EVENT]
        if not events:
            waits = [self._wait(clock, timeout, flags) for _, _, clock, timeout, _, flags in subscriptions]
            shortest = min(waits)
            if self._slept_nanoseconds + shortest > _LONGEST_SLEEP_NANOSECONDS:
                return Errno.INVAL
            self._slept_nanoseconds += shortest
            due = zip(subscriptions, waits, strict=True)
            events = [(subscription[0], _CLOCK_EVENT) for subscription, wait in due if wait == shortest]
        content = b"".join(_EVENT.pack(userdata, 0, kind, 1 if kind else 0, 0) for userdata, kind in events)
        self.memory.write(events_at, content)
        self.memory.write_uint32(occurred_at, len(events))
        return Errno.SUCCESS

    def sched_yield(self) -> Errno:
        """There is nobody to yield to."""
        return Errno.SUCCESS

    def proc_exit(self, exit_code: int) -> None:
        """Ends the guest."""
        self.exit_code = exit_code
        self._end()

    def _time(self, clock: int) -> int:
        return self._slept_nanoseconds + (self._now_nanoseconds if clock == _REALTIME_CLOCK else 0)

    def _wait(self, clock: int, timeout: int, flags: int) -> int:
        return max(0, timeout - self._time(clock)) if flags & _ABSOLUTE else timeout

    def _kind(self, descriptor: int) -> int | None:
        if descriptor <= STDERR:
            return _CHARACTER_DEVICE
        if descriptor == ROOT and self._files:
            return _DIRECTORY
        return _REGULAR_FILE if descriptor in self._open else None

    def _vectors(self, at: int, count: int) -> list[tuple[int, int]]:
        numbers = self.memory.read_uint32s(at, 2 * min(count, _MOST_VECTORS))
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def _log(self, address: int, size: int) -> None:
        kept = min(size, self._most_log_bytes - len(self.logs))
        self.logs += self.memory.read(address, kept)
        self.cut_log_bytes += size - kept

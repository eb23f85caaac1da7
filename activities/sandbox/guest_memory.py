"""The linear memory of a guest, as a host function sees it: every address comes from a stranger."""

import ctypes
import struct

from wasmtime import Memory, Store


class BadAddress(Exception):
    """The guest gave an address outside its memory. This never leaves the sandbox."""


class GuestMemory:
    """Reads and writes within the bounds that hold at this moment; raises BadAddress beyond them."""

    def __init__(self, memory: Memory | None, store: Store) -> None:
        self._memory, self._store = memory, store

    def read(self, address: int, size: int) -> bytes:
        """A copy of `size` bytes."""
        return ctypes.string_at(self._at(address, size), size)

    def write(self, address: int, content: bytes) -> None:
        """Puts `content` there."""
        ctypes.memmove(self._at(address, len(content)), content, len(content))

    def read_uint32s(self, address: int, count: int) -> tuple[int, ...]:
        """`count` little-endian numbers of 32 bits."""
        return struct.unpack(f"<{count}I", self.read(address, 4 * count))

    def write_uint32(self, address: int, number: int) -> None:
        """A little-endian number of 32 bits."""
        self.write(address, struct.pack("<I", number))

    def write_uint64(self, address: int, number: int) -> None:
        """A little-endian number of 64 bits."""
        self.write(address, struct.pack("<Q", number))

    def _at(self, address: int, size: int) -> int:
        # Asked for anew each time: the memory may have grown, and moved, since the last call.
        if self._memory is None or address + size > self._memory.data_len(self._store):
            raise BadAddress
        return ctypes.addressof(self._memory.data_ptr(self._store).contents) + address

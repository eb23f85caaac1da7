"""What an HTTP body was compressed with is taken off, and never more comes out than is allowed.

HTTP clients decompress a whole chunk at once, and a chunk of 64 KiB can be 64 MiB (RFC 9110, section 8.4.1: gzip and
deflate). Here it comes out in pieces that are counted.
"""

import zlib
from collections.abc import Iterable, Iterator

#: What `Accept-Encoding` may say where these are used.
ACCEPTED = "gzip, deflate"
_KNOWN = frozenset({"gzip", "x-gzip", "deflate"})
_PIECE_BYTES = 64 * 1024
_MOST_LAYERS = 3
_GZIP_MARK = b"\x1f\x8b"


class ContentUnreadable(ValueError):
    """The body is not what its Content-Encoding says, or is in one that is not known."""


class ContentTooLong(ValueError):
    """More came out than is allowed."""


def layers_of(content_encoding: str | None) -> list[str]:
    """The encodings, the one that was applied last first; raises ContentUnreadable for one that is not known."""
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    layers = [name for name in reversed(names) if name not in {"", "identity"}]
    for layer in layers:
        if layer not in _KNOWN:
            raise ContentUnreadable(f"its content encoding {layer[:40]!r} is not read; {ACCEPTED} are")
    if len(layers) > _MOST_LAYERS:
        raise ContentUnreadable(f"it is encoded more than {_MOST_LAYERS} times")
    return layers


class Decompression:
    """Takes off one body's encodings, chunk by chunk."""

    def __init__(self, content_encoding: str | None, *, limit_bytes: int) -> None:
        """Raises ContentUnreadable for an encoding that is not known."""
        self._layers = [_Layer(name) for name in layers_of(content_encoding)]
        self._limit_bytes, self._size = limit_bytes, 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What comes out of a chunk; raises ContentUnreadable, or ContentTooLong beyond the limit."""
        pieces: Iterable[bytes] = (chunk,)
        for layer in self._layers:
            pieces = layer.pieces(pieces)
        for piece in pieces:
            self._size += len(piece)
            if self._size > self._limit_bytes:
                raise ContentTooLong(f"it has more than {self._limit_bytes:,} bytes")
            yield piece

    def end(self) -> None:
        """Raises ContentUnreadable when the body ended before it was whole."""
        if not all(layer.is_whole for layer in self._layers):
            raise ContentUnreadable("its compressed content is cut off")


def decompressed(content: bytes, content_encoding: str | None, *, limit_bytes: int) -> bytes:
    """A whole body; raises ContentUnreadable or ContentTooLong."""
    decompression = Decompression(content_encoding, limit_bytes=limit_bytes)
    body = b"".join(decompression.feed(content))
    decompression.end()
    return body


class _Layer:
    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = False
        self._decompress = self._new()

    @property
    def is_whole(self) -> bool:
        return not self._begun or self._decompress.eof

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            rest = chunk
            while rest:
                if self._decompress.eof:
                    if self._name == "deflate" or not rest.startswith(_GZIP_MARK[: len(rest)]):
                        # What follows a whole body is padding.
                        break
                    # A gzip file may have several members (RFC 1952, section 2.2).
                    self._decompress = self._new()
                piece, rest = self._step(rest)
                if piece:
                    yield piece

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            piece = self._decompress.decompress(data, _PIECE_BYTES)
        except zlib.error:
            if self._name != "deflate" or self._begun:
                raise ContentUnreadable(f"it is not what its content encoding {self._name!r} says") from None
            # Many servers send deflate without zlib's wrapping.
            self._decompress, self._begun = zlib.decompressobj(-zlib.MAX_WBITS), True
            return self._step(data)
        self._begun = True
        return piece, self._decompress.unconsumed_tail or self._decompress.unused_data

    def _new(self) -> "zlib._Decompress":
        return zlib.decompressobj(zlib.MAX_WBITS if self._name == "deflate" else zlib.MAX_WBITS | 16)

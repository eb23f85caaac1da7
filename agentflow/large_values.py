"""Work on large values happens in a thread, so that the event loop of its process goes on meanwhile."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from agentflow.digest import Json, canonical_json
from agentflow.heavy_work import run_apart

#: What is smaller is worked on in place: going to a thread costs more.
_FEW_VALUES, _FEW_CHARACTERS = 2_000, 64 * 1024
#: Members of a container that are encoded in one call, during which no other thread runs.
_FEW_MEMBERS = 256

_Result = TypeVar("_Result")


def is_large(value: object) -> bool:
    """Whether `value` has over 2,000 values or 64 Ki characters; looks at no more of it than that."""
    values, characters, pending = 0, 0, [value]
    while pending:
        part = pending.pop()
        values += 1
        if isinstance(part, str | bytes):
            characters += len(part)
        elif isinstance(part, dict | list | tuple):
            if len(part) > _FEW_VALUES:
                return True
            if isinstance(part, dict):
                characters += sum(len(key) for key in part if isinstance(key, str))
            pending.extend(part.values() if isinstance(part, dict) else part)
        if values + len(pending) > _FEW_VALUES or characters > _FEW_CHARACTERS:
            return True
    return False


async def beside_loop(work: Callable[[], _Result], *, on: object, owner: str) -> _Result:
    """What `work` gives; done in a thread, in its owner's turn, when the value that it works on is large."""
    return await run_apart(work, owner=owner) if is_large(on) else work()


def canonical_json_in_pieces(value: Json) -> bytes:
    """As `canonical_json`; other threads get their turn while a wide value is encoded."""
    return b"".join(_pieces(value))


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, list | tuple) and len(value) > _FEW_MEMBERS:
        yield b"["
        for place, item in enumerate(value):
            if place:
                yield b","
            yield from _pieces(item)
        yield b"]"
    elif isinstance(value, dict) and len(value) > _FEW_MEMBERS and all(isinstance(key, str) for key in value):
        yield b"{"
        for place, key in enumerate(sorted(value)):
            yield b"," if place else b""
            yield canonical_json(key)
            yield b":"
            yield from _pieces(value[key])
        yield b"}"
    else:
        yield canonical_json(value)

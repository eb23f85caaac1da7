"""JSON of requests, under limits that are looked at before it is parsed, and off the event loop when it is long.

The parser is C: while it works, nothing else of the process does. How many values there are is counted before, in steps
between which others have their turn, and what may then be parsed takes milliseconds.
"""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.exceptions import HTTPException

from api.errors import KeyRepeated, TooManyValues
from workflows.dag_document import PathSteps, json_path

#: Members of objects and items of lists, of all levels together.
MAX_JSON_VALUES = 50_000
#: What is shorter is read where it is: a thread costs more.
_SHORT_BYTES = 32 * 1024

_STRUCTURE = re.compile(rb'["\[{,]')
#: The rest of a string, or a long piece of it: one match is one step.
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+){0,4096}+', re.DOTALL)
_QUOTE = ord('"')
#: Not the pool that everything else waits for.
_READERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="json-body")


class _Repeating(dict[str, Any]):
    """An object that has a key twice."""

    key: str


async def read_json(body: bytes) -> Any:
    """The body as JSON.

    Raises JSONDecodeError, TooManyValues, KeyRepeated, and HTTPException of 400 for what no reader takes.
    """
    if len(body) <= _SHORT_BYTES:
        return _read(body)
    return await asyncio.get_running_loop().run_in_executor(_READERS, _read, body)


def _read(body: bytes) -> Any:
    if _has_more_values(body, MAX_JSON_VALUES):
        raise TooManyValues(limit=MAX_JSON_VALUES)
    repeating: list[_Repeating] = []

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        marked, seen = _Repeating(found), set[str]()
        for key, _ in pairs:
            if key in seen:
                marked.key = key
            seen.add(key)
        repeating.append(marked)
        return marked

    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=made)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        # Not UTF-8, a number of thousands of digits, or hundreds of levels.
        raise HTTPException(status_code=400) from error
    if repeating:
        raise KeyRepeated(path=json_path(_path_of_repetition(value)))
    return value


def _has_more_values(body: bytes, limit: int) -> bool:
    """Whether more than `limit` values begin: each after a bracket, or a comma that stands in no string."""
    if body.count(b",") + body.count(b"[") + body.count(b"{") <= limit:
        return False
    values, strings, at = 0, 0, 0
    while (found := _STRUCTURE.search(body, at)) is not None:
        at = found.end()
        if found[0] != b'"':
            values += 1
        else:
            strings += 1
            at = _end_of_string(body, at)
        # A member has two strings at most, its key and its value.
        if values > limit or strings > 2 * limit:
            return True
    return False


def _end_of_string(body: bytes, at: int) -> int:
    """Where a string is over that `at` is inside of."""
    end = len(body)
    while at < end and body[at] != _QUOTE:
        piece = _IN_STRING.match(body, at)
        # A last backslash escapes nothing; the parser refuses it.
        at = piece.end() if piece is not None and piece.end() > at else at + 1
    return at + 1


def _path_of_repetition(value: Any) -> PathSteps:
    """The path of a key that stands twice in one object."""
    pending: list[tuple[PathSteps, Any]] = [((), value)]
    while pending:
        path, found = pending.pop()
        if isinstance(found, _Repeating):
            return (*path, found.key)
        if isinstance(found, dict):
            pending.extend(((*path, key), item) for key, item in found.items())
        elif isinstance(found, list):
            pending.extend(((*path, position), item) for position, item in enumerate(found))
    return ()

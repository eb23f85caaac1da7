"""Reads foreign formats in processes of their own: a hostile file ends such a process, not the worker.

Each gets as much memory as its limit says, of one budget that all readers of a worker share; more wait.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from activities.errors import DocumentUnreadable
from activities.readers.confinement import child_environment
from activities.readers.memory_budget import MemoryBudget
from activities.readers.reading import MAX_TEXT_CHARACTERS, Reading

Format = Literal["pdf", "html", "docx", "csv", "json"]

READ_TIMEOUT_SECONDS = 120.0
_PROCESSOR_SECONDS = 60
_MEBIBYTE = 1024 * 1024
#: What Python and the library take, and how many times a document's size comes on top: measured, with room to spare.
_BASE_BYTES = 192 * _MEBIBYTE
_MEMORY_FACTORS: Mapping[Format, int] = {"pdf": 12, "html": 64, "docx": 64, "csv": 12, "json": 32}
#: Formats that unpack: their size says little of what they take.
_LEAST_BYTES: Mapping[Format, int] = {"pdf": 512 * _MEBIBYTE, "docx": 512 * _MEBIBYTE}


class DocumentReaders:
    """The readers of one worker."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory = MemoryBudget(memory_bytes)

    async def read(
        self,
        content: bytes,
        *,
        format: Format,  # noqa: A002  # The word for it.
        name: str,
        options: Mapping[str, Any] | None = None,
        limit_bytes: int = 4 * MAX_TEXT_CHARACTERS,
    ) -> Reading:
        """What a document says; HTML, CSV and JSON are given in UTF-8. Raises DocumentUnreadable."""
        wanted = max(_BASE_BYTES + _MEMORY_FACTORS[format] * len(content), _LEAST_BYTES.get(format, 0))
        async with self._memory.lend(wanted) as memory_bytes:
            order = {
                "format": format,
                "memory_bytes": memory_bytes,
                "processor_seconds": _PROCESSOR_SECONDS,
                "limit_bytes": limit_bytes,
                "options": dict(options or {}),
            }
            answer, exit_code = await _answer(json.dumps(order), content, name=name, limit_bytes=limit_bytes)
        return _reading(answer, exit_code, name=name)


async def _answer(order: str, content: bytes, *, name: str, limit_bytes: int) -> tuple[bytes, int | None]:
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-s", "-m", "activities.readers.reader_process", order),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
        cwd="/",
    )
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            _, answer = await asyncio.gather(_feed(reader, content), _drain(reader, limit_bytes + _MEBIBYTE))
            if len(answer) > limit_bytes + _MEBIBYTE:
                raise DocumentUnreadable(name=name, reason=f"its text takes more than {limit_bytes:,} bytes")
            await reader.wait()
    except TimeoutError:
        raise DocumentUnreadable(name=name, reason=f"reading it took over {READ_TIMEOUT_SECONDS:g} s") from None
    finally:
        if reader.returncode is None:
            with suppress(ProcessLookupError):
                reader.kill()
            await reader.wait()
    return answer, reader.returncode


async def _feed(reader: asyncio.subprocess.Process, content: bytes) -> None:
    if reader.stdin is None:
        return
    # A reader that dies early is told by its answer.
    with suppress(BrokenPipeError, ConnectionResetError):
        reader.stdin.write(content)
        await reader.stdin.drain()
    reader.stdin.close()


async def _drain(reader: asyncio.subprocess.Process, limit_bytes: int) -> bytes:
    """All that comes, or a little more than the limit."""
    parts, size = list[bytes](), 0
    while reader.stdout is not None and size <= limit_bytes and (part := await reader.stdout.read(65_536)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _reading(answer: bytes, exit_code: int | None, *, name: str) -> Reading:
    head, _, text = answer.partition(b"\n")
    try:
        facts = json.loads(head)
        problem = facts.get("problem")
        reading = Reading(
            text=text.decode(), page_count=int(facts.get("page_count", 1)), is_list=facts.get("is_list") is True
        )
    except (ValueError, AttributeError, TypeError):
        reason = (
            f"reading it took over {_PROCESSOR_SECONDS} s of processor time"
            if exit_code == -signal.SIGXCPU
            else f"its reader ended with {exit_code}; the file is damaged, or too large to read"
        )
        raise DocumentUnreadable(name=name, reason=reason) from None
    if problem is not None:
        raise DocumentUnreadable(name=name, reason=str(problem)[:300])
    return reading

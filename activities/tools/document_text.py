"""Text out of documents. A PDF is read in a process of its own: a hostile file ends that process, not the worker."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass

from activities.errors import DocumentUnreadable

PDF = "application/pdf"
PLAIN_TEXT = "text/plain"
BINARY = "application/octet-stream"
PDF_TIMEOUT_SECONDS = 120.0

#: All that the reader gets of the worker's environment, which holds keys.
_READER_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
_TEXT_SUFFIXES = {"csv": "text/csv", "html": "text/html", "json": "application/json", "md": "text/markdown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentText:
    """The text of a document, and how many pages it has."""

    text: str
    page_count: int


def media_type_of(content: bytes, *, name: str) -> str:
    """What a document is, by its first bytes and the end of its name."""
    if content[:1024].lstrip().startswith(b"%PDF-"):
        return PDF
    suffix = name.rpartition(".")[2].lower()
    if suffix in _TEXT_SUFFIXES:
        return _TEXT_SUFFIXES[suffix]
    return BINARY if b"\x00" in content[:8192] else PLAIN_TEXT


async def document_text(content: bytes, *, media_type: str, name: str) -> DocumentText:
    """The text of a PDF or a text file; raises DocumentUnreadable."""
    if media_type == PDF:
        return await _pdf_text(content, name=name)
    if media_type == BINARY:
        raise DocumentUnreadable(name=name, reason="it is neither a PDF nor a text file")
    try:
        return DocumentText(text=content.decode("utf-8-sig").replace("\x00", "\N{REPLACEMENT CHARACTER}"), page_count=1)
    except UnicodeDecodeError as error:
        raise DocumentUnreadable(name=name, reason=f"it is not UTF-8 (byte {error.start})") from None


async def _pdf_text(content: bytes, *, name: str) -> DocumentText:
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "activities.tools.pdf_reader"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={key: os.environ[key] for key in _READER_ENVIRONMENT if key in os.environ},
    )
    try:
        async with asyncio.timeout(PDF_TIMEOUT_SECONDS):
            answer, _ = await reader.communicate(content)
    except TimeoutError:
        raise DocumentUnreadable(name=name, reason=f"reading it took over {PDF_TIMEOUT_SECONDS:g} s") from None
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    try:
        found = json.loads(answer)
    except ValueError:
        reason = f"the PDF reader ended with {reader.returncode}; the file is damaged, or too large to read"
        raise DocumentUnreadable(name=name, reason=reason) from None
    if "problem" in found:
        raise DocumentUnreadable(name=name, reason=found["problem"])
    return DocumentText(text=found["text"], page_count=found["page_count"])

"""`document.json_lines`: the lines of a document as a list that a map can go over, however long it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from activities.errors import DocumentUnreadable
from activities.paged_output import PagedOutput
from activities.tools.tool import Tool, ToolContext
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.digest import canonical_json
from runs.paged_list import WHOLE_LIST_BYTES, PagedList, page_items_for
from runs.signatures import StepSignature


async def _read(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    document = arguments["document"]
    content = await context.load(document["document"])
    lines = [line for line in content.splitlines() if line.strip()]
    if len(content) <= WHOLE_LIST_BYTES:
        return _parsed(lines, 0, name=document["name"])
    page_items = page_items_for(len(lines), len(content))
    pages = [page async for page in _pages(context, lines, page_items, name=document["name"])]
    return PagedOutput(paged=PagedList(count=len(lines), page_items=page_items, pages=tuple(pages)))


async def _pages(context: ToolContext, lines: list[bytes], page_items: int, *, name: str) -> AsyncIterator[str]:
    for first in range(0, len(lines), page_items):
        # In a thread, so that heartbeats and other steps go on meanwhile.
        items = await asyncio.to_thread(_parsed, lines[first : first + page_items], first, name=name)
        yield await context.store(content=canonical_json(items), media_type=JSON_MEDIA_TYPE)


def _parsed(lines: list[bytes], first: int, *, name: str) -> list[Any]:
    return list(_values(lines, first, name))


def _values(lines: list[bytes], first: int, name: str) -> Iterator[Any]:
    for number, line in enumerate(lines, start=first + 1):
        try:
            yield json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise DocumentUnreadable(name=name, reason=f"line {number} (without empty ones) is not JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


JSON_LINES = Tool(
    is_inside=True,
    signature=StepSignature(
        name="document.json_lines",
        description="Reads a document of JSON lines as a list, which lies in pages when it is long.",
        input_schema={
            "type": "object",
            "properties": {
                "document": {
                    "type": "object",
                    "properties": {
                        "document": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                        "name": {"type": "string"},
                    },
                    "required": ["document", "name"],
                    "description": "The output of s3.fetch or file.read with as: document.",
                },
            },
            "required": ["document"],
            "additionalProperties": False,
        },
        output_schema={"type": "array"},
    ),
    call=_read,
)

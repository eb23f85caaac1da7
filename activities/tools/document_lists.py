"""`document.json_lines`, `document.json`, `document.csv`: lists that a map can go over, however long they are."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any

from activities.errors import DocumentUnreadable
from activities.paged_output import PagedOutput
from activities.readers.strict_json import NotJson, read_json
from activities.tools.document_text import source_text
from activities.tools.documents import MAX_JSON_BYTES, REFERENCE_SCHEMA, dereferenced
from activities.tools.tool import Tool, ToolContext
from agentflow.blobs import JSON_MEDIA_TYPE
from agentflow.heavy_work import run_apart
from agentflow.large_values import beside_loop, canonical_json_in_pieces
from runs.paged_list import WHOLE_LIST_BYTES, PagedList, page_items_for
from runs.signatures import StepSignature

#: Lines that are split off at once: a text of 128 MB may have as many lines, and they are not held together.
_BLOCK_CHARACTERS = 64 * 1024


async def _read_lines(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    given = await dereferenced(context, arguments["document"])
    text = await source_text(given.content, media_type="application/x-ndjson", name=given.name, charset=given.charset)
    return await _list_of(context, text, name=given.name)


async def _read_json(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    given = await dereferenced(context, arguments["document"])
    text = await source_text(given.content, media_type="application/json", name=given.name, charset=given.charset)
    limit_bytes = 2 * context.settings.max_document_bytes
    found = await context.readers.read(
        text.encode("utf-8", errors="replace"), format="json", name=given.name, limit_bytes=limit_bytes
    )
    if found.is_list:
        return await _list_of(context, found.text, name=given.name)
    if len(found.text) > MAX_JSON_BYTES:
        reason = f"it is one value of {len(found.text):,} characters; only a list may be longer than {MAX_JSON_BYTES:,}"
        raise DocumentUnreadable(name=given.name, reason=reason)
    return await beside_loop(partial(read_json, found.text), on=found.text, owner=context.org_id)


async def _read_csv(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    given = await dereferenced(context, arguments["document"])
    text = await source_text(given.content, media_type="text/csv", name=given.name, charset=given.charset)
    found = await context.readers.read(
        text.encode("utf-8", errors="replace"),
        format="csv",
        name=given.name,
        options={name: arguments[name] for name in ("delimiter", "header") if name in arguments},
        limit_bytes=2 * context.settings.max_document_bytes,
    )
    return await _list_of(context, found.text, name=given.name)


async def _list_of(context: ToolContext, text: str, *, name: str) -> Any:
    """The values of lines of JSON: whole, or in pages when there are many."""
    lines = chain.from_iterable(_blocks(text))
    if len(text) <= WHOLE_LIST_BYTES:
        return await beside_loop(lambda: list(_values(lines, 0, name)), on=text, owner=context.org_id)
    # In threads, so that heartbeats and other steps go on meanwhile.
    count = await run_apart(lambda: sum(map(len, _blocks(text))), owner=context.org_id)
    page_items, pages = page_items_for(count, len(text)), list[str]()
    for first in range(0, count, page_items):
        content = await run_apart(partial(_page, islice(lines, page_items), first, name), owner=context.org_id)
        pages.append(await context.store(content=content, media_type=JSON_MEDIA_TYPE))
    return PagedOutput(paged=PagedList(count=count, page_items=page_items, pages=tuple(pages)))


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of a text that are not empty, some at a time."""
    start = 0
    while start < len(text):
        # By line feeds alone: a string may hold the other characters that end lines.
        end = text.find("\n", start + _BLOCK_CHARACTERS)
        end = len(text) if end < 0 else end
        yield [line for line in text[start:end].split("\n") if line and not line.isspace()]
        start = end + 1


def _page(lines: Iterable[str], first: int, name: str) -> bytes:
    return canonical_json_in_pieces(list(_values(lines, first, name)))


def _values(lines: Iterable[str], first: int, name: str) -> Iterator[Any]:
    for number, line in enumerate(lines, start=first + 1):
        try:
            yield read_json(line)
        except NotJson as error:
            reason = f"line {number} (without empty ones) is not JSON: {error}"
            raise DocumentUnreadable(name=name, reason=reason) from None


def _tool(name: str, description: str, call: Any, *, output_schema: Any, **options: Any) -> Tool:
    return Tool(
        is_inside=True,
        signature=StepSignature(
            name=name,
            description=description,
            input_schema={
                "type": "object",
                "properties": {"document": REFERENCE_SCHEMA, **options},
                "required": ["document"],
                "additionalProperties": False,
            },
            output_schema=output_schema,
        ),
        call=call,
    )


JSON_LINES = _tool(
    "document.json_lines",
    "Reads a document of JSON lines as a list, which lies in pages when it is long.",
    _read_lines,
    output_schema={"type": "array"},
)
JSON_DOCUMENT = _tool(
    "document.json",
    "Reads a JSON document; a list lies in pages when it is long.",
    _read_json,
    # Whatever JSON there is.
    output_schema=None,
)
CSV = _tool(
    "document.csv",
    "Reads the rows of a CSV file as objects of texts by the names of its first row, or as lists.",
    _read_csv,
    output_schema={"type": "array"},
    delimiter={"enum": [",", ";", "\t", "|"], "description": "Told from the first row when it is left out."},
    header={"type": "boolean", "description": "False: the first row has no names, and rows are lists."},
)

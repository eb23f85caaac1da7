"""Lists out of documents: which lines are items, how they lie in pages, and what a long one takes."""

import json
import sys
from typing import Any

import pytest

from activities.errors import DocumentUnreadable
from activities.paged_output import PagedOutput
from activities.tools.document_lists import JSON_LINES
from runs.paged_list import PAGE_ITEMS, WHOLE_LIST_BYTES
from tests.mcp_server.memory_context import MemoryContext

#: Lines of many lengths, some longer than what is split off at once, and characters that end lines elsewhere.
ITEMS: list[Any] = [{"n": place, "text": "a\u2028b\x85" + "c" * (place % 7)} for place in range(40_000)]
ITEMS[17] = ITEMS[39_999] = "d" * 200_000


async def lines_of(context: MemoryContext, text: str) -> Any:
    digest = await context.store(content=text.encode(), media_type="application/x-ndjson")
    return await JSON_LINES.call(context, {"document": {"document": digest, "name": "a.jsonl"}})


async def items_of(context: MemoryContext, output: Any) -> list[Any]:
    assert isinstance(output, PagedOutput)
    pages = [json.loads(await context.load(digest)) for digest in output.paged.pages]
    assert [PAGE_ITEMS] * (len(pages) - 1) == [len(page) for page in pages[:-1]]
    assert sum(map(len, pages)) == output.paged.count
    return [item for page in pages for item in page]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n \t\n\x0c\n"])
async def test_every_line_that_is_not_empty_is_an_item(ending: str) -> None:
    context, lines = MemoryContext(), [json.dumps(item, ensure_ascii=False) for item in ITEMS]

    long = await lines_of(context, ending + ending.join(lines) + ending)
    short = await lines_of(context, ending.join(lines[:10]))

    assert ITEMS == await items_of(context, long)
    assert ITEMS[:10] == short


@pytest.mark.parametrize("text", ["", " \n", "\n" * (WHOLE_LIST_BYTES + 1)])
async def test_a_text_without_items_is_an_empty_list(text: str) -> None:
    context = MemoryContext()
    output = await lines_of(context, text)

    assert [] == (output if isinstance(output, list) else await items_of(context, output))


@pytest.mark.parametrize("count", [3, 500_000])
async def test_a_line_that_is_no_json_is_told_by_its_number(count: int) -> None:
    with pytest.raises(DocumentUnreadable, match=rf"line {count + 1} \(without empty ones\) is not JSON"):
        await lines_of(MemoryContext(), "12\n\n" * count + "no\n12\n")


class CountingContext(MemoryContext):
    """Knows how many objects of the process were alive, at most, while something was stored."""

    def __init__(self) -> None:
        super().__init__()
        self.most_objects = 0

    async def store(self, *, content: bytes, media_type: str) -> str:
        self.most_objects = max(self.most_objects, sys.getallocatedblocks())
        return await super().store(content=content, media_type=media_type)


async def test_the_lines_of_a_long_list_are_not_held_together() -> None:
    context, before = CountingContext(), sys.getallocatedblocks()

    output = await lines_of(context, "1234\n" * 400_000)

    assert 400_000 == output.paged.count
    assert 200_000 > context.most_objects - before

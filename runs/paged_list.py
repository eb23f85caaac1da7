"""A list too long for one document: its items lie in pages of equal length, each a blob, and one index names them.

Whoever goes over the list loads a page at a time, so that memory does not grow with the list. The index is told from
other content by its media type, which no output of a step can choose.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from agentflow.digest import canonical_json, sha256_hex
from agentflow.errors import BlobCorrupt

PAGED_LIST_MEDIA_TYPE = "application/vnd.agentflow.paged-list+json"
#: Items on a page, and bytes, on average: what stands on a page is held in memory at once.
PAGE_ITEMS = 1_000
PAGE_BYTES = 8 * 1024 * 1024
#: Lists up to this size are one document; larger ones are paged.
WHOLE_LIST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedList:
    """The index: which blobs hold the items, in order."""

    count: int
    #: Items on each page but the last, which may have fewer.
    page_items: int
    #: The digest of each page, which is a JSON list.
    pages: tuple[str, ...]

    def place_of(self, index: int) -> tuple[str, int]:
        """The page that has item `index`, and its place there; raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        page, place = divmod(index, self.page_items)
        return self.pages[page], place

    def range_of(self, page: int) -> range:
        """The indices of the items on a page."""
        first = page * self.page_items
        return range(first, min(first + self.page_items, self.count))

    def ranges(self) -> Iterator[tuple[str, range]]:
        """Each page's digest and the indices of its items."""
        for page, digest in enumerate(self.pages):
            yield digest, self.range_of(page)


_PAGED_LIST = TypeAdapter(PagedList)


def page_count(*, items: int, page_items: int) -> int:
    """How many pages hold `items`."""
    return -(-items // page_items)


def page_items_for(items: int, size_bytes: int) -> int:
    """How many items to lay on each page, so that a page has PAGE_BYTES on average, or less."""
    if size_bytes <= PAGE_BYTES:
        return PAGE_ITEMS
    return max(1, min(PAGE_ITEMS, PAGE_BYTES * items // size_bytes))


def encode_paged_list(paged: PagedList) -> tuple[str, bytes]:
    """The index's digest and bytes."""
    content = canonical_json(_PAGED_LIST.dump_python(paged, mode="json"))
    return sha256_hex(content), content


def decode_paged_list(digest: str, content: bytes) -> PagedList:
    """The index that `encode_paged_list` wrote; raises BlobCorrupt for any other content."""
    try:
        paged = _PAGED_LIST.validate_json(content)
    except ValidationError as error:
        raise BlobCorrupt(digest=digest) from error
    if paged.page_items < 1 or len(paged.pages) != page_count(items=paged.count, page_items=paged.page_items):
        raise BlobCorrupt(digest=digest)
    return paged

import pytest

from agentflow.errors import BlobCorrupt
from runs.paged_list import (
    PAGE_BYTES,
    PAGE_ITEMS,
    PagedList,
    decode_paged_list,
    encode_paged_list,
    page_count,
    page_items_for,
)

TEN = PagedList(count=10, page_items=4, pages=("a", "b", "c"))


def test_an_item_is_found_by_its_page_and_its_place_there() -> None:
    assert [("a", 0), ("a", 3), ("b", 0), ("c", 1)] == [TEN.place_of(index) for index in (0, 3, 4, 9)]


@pytest.mark.parametrize("index", [-1, 10])
def test_an_index_outside_the_list_is_refused(index: int) -> None:
    with pytest.raises(IndexError):
        TEN.place_of(index)


def test_the_last_page_has_what_is_left() -> None:
    assert [range(4), range(4, 8), range(8, 10)] == [TEN.range_of(page) for page in range(3)]


def test_pages_are_counted_up() -> None:
    assert [0, 1, 1, 2] == [page_count(items=items, page_items=4) for items in (0, 1, 4, 5)]


def test_an_index_survives_being_stored() -> None:
    assert TEN == decode_paged_list(*encode_paged_list(TEN))


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b"no json", b'{"count":10,"page_items":4,"pages":["a"]}', b'{"count":1,"page_items":0,"pages":[]}'],
)
def test_content_that_is_no_index_is_told_as_corrupt(content: bytes) -> None:
    with pytest.raises(BlobCorrupt):
        decode_paged_list("d", content)


@pytest.mark.parametrize(
    ("items", "size_bytes", "page_items"),
    [
        (0, 0, PAGE_ITEMS),
        (100_000, PAGE_BYTES, PAGE_ITEMS),
        (1_000, 4 * PAGE_BYTES, 250),
        (100_000, 4 * PAGE_BYTES, PAGE_ITEMS),
        # Each is larger than a page.
        (10, 100 * PAGE_BYTES, 1),
    ],
)
def test_a_page_has_so_many_items_and_so_many_bytes_at_the_most(items: int, size_bytes: int, page_items: int) -> None:
    assert page_items == page_items_for(items, size_bytes)

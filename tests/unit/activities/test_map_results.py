import pytest

from activities.map_results import RESULT_PAGE_BYTES, RESULT_PAGE_ITEMS, page_items_for


@pytest.mark.parametrize(
    ("items", "size_bytes", "page_items"),
    [
        (0, 0, RESULT_PAGE_ITEMS),
        (100_000, RESULT_PAGE_BYTES, RESULT_PAGE_ITEMS),
        (1_000, 4 * RESULT_PAGE_BYTES, 250),
        (100_000, 4 * RESULT_PAGE_BYTES, RESULT_PAGE_ITEMS),
        # Each is larger than a page.
        (10, 100 * RESULT_PAGE_BYTES, 1),
    ],
)
def test_a_page_has_so_many_items_and_so_many_bytes_at_the_most(items: int, size_bytes: int, page_items: int) -> None:
    assert page_items == page_items_for(items, size_bytes)

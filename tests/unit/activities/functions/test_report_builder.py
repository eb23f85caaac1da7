import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from activities.functions.report_builder import REPORT_BUILDER, build_report


def test_a_report_is_a_title_and_sections_of_texts_and_lists() -> None:
    sections: list[dict[str, Any]] = [
        {"heading": "Summary", "body": "\nTwo of four.\n\nMore to say.\n"},
        {"heading": "Passage by passage", "body": ["first\nof two", "second"]},
        {"heading": "Nothing", "body": []},
    ]

    expected = """\
# Analysis of a.pdf

## Summary

Two of four.

More to say.

## Passage by passage

1. first of two
2. second

## Nothing

"""
    assert {"text": expected} == REPORT_BUILDER.call({"title": "Analysis of a.pdf", "sections": sections})


def test_a_report_without_sections_is_its_title() -> None:
    assert "# Empty\n" == build_report("Empty", [])


@given(st.lists(st.text(), max_size=12))
def test_every_item_of_a_list_is_one_line_with_its_number(items: list[str]) -> None:
    report = build_report("Report", [{"heading": "Items", "body": items}])

    lines = report.split("\n")[4:-1]
    assert [str(number) for number in range(1, len(items) + 1)] == [line.partition(".")[0] for line in lines if line]
    assert [item.split() for item in items] == [re.sub(r"^\d+\. ", "", line).split() for line in lines if line]

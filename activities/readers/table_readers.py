"""Lists as lines of JSON, an item each: the rows of a CSV file, or what a JSON document holds."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from activities.readers.reading import Reading, Unreadable
from activities.readers.strict_json import NotJson, read_json

_LINE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DELIMITERS = (",", ";", "\t", "|")
#: A field's; without it a quote that is never closed would be a row of any length.
_MAX_FIELD_CHARACTERS = 4 * 1024 * 1024
_MAX_COLUMNS = 10_000


def read_csv(content: bytes, *, options: Mapping[str, Any], limit_bytes: int) -> Reading:
    """The rows of a text in UTF-8, as objects by the names of the first row, or as lists; raises Unreadable.

    `options`: `delimiter` (told from the first line when it is left out), `header`.
    """
    text = content.decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=options.get("delimiter") or _delimiter_of(text))
    try:
        return _lines(_items(rows, has_header=options.get("header", True)), limit_bytes)
    except csv.Error as error:
        raise Unreadable(f"row {rows.line_num} is not CSV: {error}") from None


def _items(rows: Iterator[list[str]], *, has_header: bool) -> Iterator[Any]:
    names: dict[str, None] | None = None
    for row in rows:
        if not row:
            continue
        if len(row) > _MAX_COLUMNS:
            raise Unreadable(f"a row has more than {_MAX_COLUMNS:,} columns")
        if not has_header:
            yield row
        elif names is None:
            names = {}
            _add_names(names, row)
        else:
            _add_names(names, ["" for _ in row[len(names) :]])
            # A row that is shorter has no value there.
            yield dict(zip(names, [*row, *(None for _ in range(len(names) - len(row)))], strict=True))


def _add_names(names: dict[str, None], row: list[str]) -> None:
    """Names columns as the row does; one without a name, or with another's, gets its number."""
    for given in row:
        number = len(names) + 1
        name = given.strip() or f"column_{number}"
        while name in names:
            name = f"{name}_{number}"
        names[name] = None


def _delimiter_of(text: str) -> str:
    line = next((line for line in text[:65_536].split("\n") if line.strip()), "")
    # What stands in quotes is no delimiter.
    outside = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def read_json_document(content: bytes, *, limit_bytes: int) -> Reading:
    """The items of a list, or the one value that is no list; raises Unreadable."""
    try:
        value = read_json(content.decode(errors="replace"))
    except NotJson as error:
        raise Unreadable(f"it is not JSON: {error}") from None
    reading = _lines(value if isinstance(value, list) else [value], limit_bytes)
    return Reading(text=reading.text, is_list=isinstance(value, list))


def _lines(items: Any, limit_bytes: int) -> Reading:
    lines, size = io.StringIO(), 0
    for item in items:
        size += lines.write(_LINE.encode(item) + "\n")
        if size > limit_bytes:
            raise Unreadable(f"its items take more than {limit_bytes:,} bytes as JSON")
    return Reading(text=lines.getvalue(), is_list=True)

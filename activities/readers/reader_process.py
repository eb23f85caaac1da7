"""`python -m activities.readers.reader_process ORDER`: a document on standard input, what it says on standard output.

ORDER is JSON: the format, the limits, the format's own options. The answer is a line of JSON, with a `problem` in words
or the facts of the reading, and then the text. This process holds nothing worth stealing, and may die of its input.
"""

import codecs
import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from activities.readers.confinement import confine
from activities.readers.reading import Reading, Unreadable

_READERS = {
    "pdf": ("pdf_reader", "read_pdf"),
    "html": ("html_reader", "read_html"),
    "docx": ("docx_reader", "read_docx"),
    "csv": ("table_readers", "read_csv"),
    "json": ("table_readers", "read_json_document"),
}


#: Python reads the code of an encoding at its first use, and then no file can be opened any more.
_ENCODINGS = ("ascii", "cp437", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be")


def main() -> None:
    """Confines itself, reads, answers, ends."""
    order = json.loads(sys.argv[1])
    reader = _reader(order)
    confine(memory_bytes=order["memory_bytes"], processor_seconds=order["processor_seconds"])
    try:
        reading = reader(sys.stdin.buffer.read())
        answer: dict[str, Any] = {"page_count": reading.page_count, "is_list": reading.is_list}
        text = reading.text.encode("utf-8", errors="replace")
    except Unreadable as error:
        answer, text = {"problem": str(error)}, b""
    except (MemoryError, RecursionError):
        needed = f"reading it takes more than {order['memory_bytes']:,} bytes of memory"
        answer, text = {"problem": f"{needed}; see READER_MEMORY_BYTES"}, b""
    except Exception as error:  # noqa: BLE001  # The edge to the formats' libraries, which raise what they like.
        answer, text = {"problem": f"it is damaged, or too large to read ({type(error).__name__})"}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + text)


def _reader(order: dict[str, Any]) -> Callable[[bytes], Reading]:
    """The reader with its options; imported before anything is given up."""
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
    module, name = _READERS[order["format"]]
    read = getattr(importlib.import_module(f"activities.readers.{module}"), name)
    if order["format"] == "csv":
        return partial(read, options=order["options"], limit_bytes=order["limit_bytes"])
    return partial(read, limit_bytes=order["limit_bytes"]) if order["format"] == "json" else read


if __name__ == "__main__":
    main()

"""`python -m activities.tools.pdf_reader`: a PDF on standard input, JSON with its text on standard output.

PDFium is a large C++ library and the file is a stranger's: this process holds nothing worth stealing, is
bounded in memory and processor time, and may die of its input.
"""

import json
import resource
import sys
from typing import Any

_MEMORY_BYTES = 2 * 1024**3
_PROCESSOR_SECONDS = 100
MAX_TEXT_CHARACTERS = 20_000_000


def read_pdf(content: bytes) -> dict[str, Any]:
    """`text` and `page_count`, or a `problem` in words."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        is_locked = "password" in str(error).lower()
        return {"problem": "it is protected by a password" if is_locked else "it is not a PDF that can be opened"}
    pages: list[str] = []
    size = 0
    for number in range(len(document)):
        page = document[number].get_textpage().get_text_bounded()
        # PDFium marks a hyphen at a line's end as U+FFFE, which XML and JSON tools refuse.
        pages.append(page.replace("\r\n", "\n").replace("\ufffe", "-").replace("\x00", "\N{REPLACEMENT CHARACTER}"))
        size += len(page)
        if size > MAX_TEXT_CHARACTERS:
            return {"problem": f"it has more than {MAX_TEXT_CHARACTERS:,} characters of text"}
    text = "\n".join(pages)
    if not text.strip():
        return {"problem": "it has no text layer (a scan?); run it through text recognition first"}
    return {"text": text, "page_count": len(pages)}


def main() -> None:
    """Reads, answers, ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(json.dumps(read_pdf(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()

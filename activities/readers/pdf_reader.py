"""The text of a PDF by PDFium, a large C++ library: it runs in a process that may die of its input."""

import pypdfium2

from activities.readers.reading import MAX_TEXT_CHARACTERS, Reading, Unreadable, plain


def read_pdf(content: bytes) -> Reading:
    """The text of all pages; raises Unreadable."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        is_locked = "password" in str(error).lower()
        raise Unreadable(
            "it is protected by a password" if is_locked else "it is not a PDF that can be opened"
        ) from None
    pages: list[str] = []
    size = 0
    for number in range(len(document)):
        page = document[number]
        text_page = page.get_textpage()
        text = text_page.get_text_bounded()
        # What a page takes is given back before the next one is looked at.
        text_page.close()
        page.close()
        # PDFium marks a hyphen at a line's end as U+FFFE, which XML and JSON tools refuse.
        pages.append(plain(text.replace("\ufffe", "-")))
        size += len(text)
        if size > MAX_TEXT_CHARACTERS:
            raise Unreadable(f"it has more than {MAX_TEXT_CHARACTERS:,} characters of text")
    text = "\n".join(pages)
    if not text.strip():
        raise Unreadable("it has no text layer (a scan?); run it through text recognition first")
    return Reading(text=text, page_count=len(pages))

"""PDFs for tests: the example's, and small ones written by hand (ISO 32000-1, 7.5)."""

import zlib
from pathlib import Path

SAMPLE_PDF = Path(__file__).parents[4] / "examples" / "document_analysis" / "sample.pdf"

_CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def page_saying(text: str) -> bytes:
    """A PDF of one page with one line of ASCII."""
    drawing = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode("ascii")
    stream = b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawing), drawing)
    return pdf_of(_CATALOG, _pages(b"3 0 R"), _page(b"/Contents 4 0 R"), stream, _FONT)


def packed_page(drawing: bytes) -> bytes:
    """A PDF of one page whose content is compressed."""
    packed = zlib.compress(drawing, 9)
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream" % (len(packed), packed)
    return pdf_of(_CATALOG, _pages(b"3 0 R"), _page(b"/Contents 4 0 R"), stream, _FONT)


def empty_page() -> bytes:
    """A PDF of one page without text, as a scan is."""
    return pdf_of(_CATALOG, _pages(b"3 0 R"), _page(b""))


def page_that_is_no_page() -> bytes:
    """A PDF that opens, and whose only page cannot be loaded."""
    return pdf_of(_CATALOG, _pages(b"3 0 R"), b"(not a page)")


def locked_page() -> bytes:
    """A PDF that asks for a password: the hash of the empty one is not the one that it holds."""
    encryption = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%b> /U <%b> >>" % (b"11" * 32, b"22" * 32)
    trailer = b"/Encrypt 4 0 R /ID [<%b> <%b>]" % (b"33" * 16, b"33" * 16)
    return pdf_of(_CATALOG, _pages(b"3 0 R"), _page(b""), encryption, trailer=trailer)


def pdf_of(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first one is the catalog."""
    content, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    table = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, entries)
    end = b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        trailer,
        len(content),
    )
    return content + table + end


def _pages(kids: bytes) -> bytes:
    return b"<< /Type /Pages /Kids [%b] /Count 1 >>" % kids


def _page(extra: bytes) -> bytes:
    return b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Resources << /Font << /F1 5 0 R >> >> %b >>" % extra

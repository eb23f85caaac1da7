"""Text out of documents: decoded here, and what is no plain text by a reader in a process of its own."""

from activities.errors import DocumentUnreadable
from activities.readers.charsets import UnknownCharset, decoded, has_mark
from activities.readers.document_readers import DocumentReaders
from activities.readers.reading import Reading

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
PLAIN_TEXT = "text/plain"
BINARY = "application/octet-stream"
_ZIP = "application/zip"

_MARKUP = frozenset({HTML, "application/xhtml+xml"})
_SUFFIXES = {
    "csv": "text/csv",
    "htm": HTML,
    "html": HTML,
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "md": "text/markdown",
    "ndjson": "application/x-ndjson",
    "tsv": "text/tab-separated-values",
    "xhtml": "application/xhtml+xml",
    "xml": "application/xml",
}
#: What servers say when they do not know.
_UNTOLD = frozenset({"", BINARY, "binary/octet-stream", "application/x-download", "application/force-download"})
_NO_TEXT = ("image/", "audio/", "video/", "font/", "application/zip", "application/gzip")


def media_type_of(content: bytes, *, name: str, declared: str = "") -> str:
    """What a document is: as it is declared, else by its first bytes and the end of its name."""
    if declared.lower() not in _UNTOLD | {_ZIP}:
        return declared.lower()
    if content[:1024].lstrip().startswith(b"%PDF-"):
        return PDF
    suffix = name.rpartition(".")[2].lower()
    if content.startswith(b"PK\x03\x04"):
        return DOCX if suffix == "docx" else _ZIP
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    return BINARY if b"\x00" in content[:8192] and not has_mark(content) else PLAIN_TEXT


async def source_text(content: bytes, *, media_type: str, name: str, charset: str | None = None) -> str:
    """A text document as it is written, markup included; raises DocumentUnreadable."""
    if media_type == BINARY or media_type.startswith(_NO_TEXT):
        raise DocumentUnreadable(name=name, reason=f"it is neither a text nor a document that is read ({media_type})")
    try:
        text = await decoded(content, charset=charset, media_type=media_type)
    except UnknownCharset:
        reason = "nothing tells its character set; declare it as the charset of the reference"
        raise DocumentUnreadable(name=name, reason=reason) from None
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


async def document_text(
    readers: DocumentReaders, content: bytes, *, media_type: str, name: str, charset: str | None = None
) -> Reading:
    """The text of a PDF, a Word document or a text file, markup as it is written; raises DocumentUnreadable."""
    if media_type == PDF:
        return await readers.read(content, format="pdf", name=name)
    if media_type == DOCX:
        return await readers.read(content, format="docx", name=name)
    return Reading(text=await source_text(content, media_type=media_type, name=name, charset=charset))


async def readable_text(
    readers: DocumentReaders, content: bytes, *, media_type: str, name: str, charset: str | None = None
) -> Reading:
    """The same, and of an HTML page what a reader would see of it; raises DocumentUnreadable."""
    if media_type not in _MARKUP:
        return await document_text(readers, content, media_type=media_type, name=name, charset=charset)
    source = await source_text(content, media_type=media_type, name=name, charset=charset)
    return await readers.read(source.encode("utf-8", errors="replace"), format="html", name=name)

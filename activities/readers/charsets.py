"""Bytes as text: by what marks them, by what is declared, and by what they look like, in this order.

The labels are those of the WHATWG's Encoding standard as far as Python knows them; as there, ASCII and Latin-1 mean
windows-1252, because that is what pages that say so hold.
"""

import asyncio
import codecs
import re

from charset_normalizer import from_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN = frozenset({"ascii", "iso8859-1", "cp1252"})
_LABELS = {
    "utf-16": "utf-16-le",
    "unicode": "utf-16-le",
    "x-sjis": "shift_jis",
    "ks_c_5601-1987": "cp949",
    "x-gbk": "gbk",
}
#: Python's, and no encodings of documents.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7", "mbcs", "oem"}
)
_META = re.compile(rb"""<meta[^>]{0,512}?charset\s{0,16}=\s{0,16}["']?\s{0,16}([\w.:-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s{0,64}<\?xml[^>]{0,256}?encoding\s{0,16}=\s{0,16}["']([\w.:-]{1,40})""")
#: Of the HTML standard: where a page is looked through for what it declares.
_HEAD_BYTES = 4_096
#: What documents without a declaration are in, of what a detector knows.
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "utf_16_le", "utf_16_be"),
)
#: Signs between letters, and rows of accents, are letters of another alphabet.
_ODD_INSIDE_WORDS = re.compile(
    r"[A-Za-z\u00c0-\u00ff][\u00a1-\u00ac\u00ae-\u00b6\u00b8-\u00bf\u00d7\u00f7][A-Za-z\u00c0-\u00ff]|[\u00c0-\u00ff]{4}"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
#: What is looked at where nothing is declared.
_SAMPLE_BYTES = 32 * 1024
#: What is longer is decoded in a thread, so that heartbeats and other steps go on meanwhile.
_LARGE_BYTES = 1024 * 1024


class UnknownCharset(ValueError):
    """Nothing tells how the bytes are to be read."""


def has_mark(content: bytes) -> bool:
    """Whether a byte order mark says how the content is to be read."""
    return any(content.startswith(mark) for mark, _ in _MARKS)


async def decoded(content: bytes, *, charset: str | None = None, media_type: str = "") -> str:
    """The text of a document, whose `charset` a header may have declared; raises UnknownCharset."""
    if len(content) > _LARGE_BYTES:
        text = await asyncio.to_thread(_as_declared, content, charset, media_type)
    else:
        text = _as_declared(content, charset, media_type)
    if text is None:
        guessed = await asyncio.to_thread(_guess, content[:_SAMPLE_BYTES])
        text = content.decode(guessed, errors="replace") if guessed is not None else None
    if text is None:
        raise UnknownCharset
    return text


def _as_declared(content: bytes, charset: str | None, media_type: str) -> str | None:
    """The text by mark, declaration, or the form of the bytes; None when none of them fits."""
    text = _by_mark(content)
    for label in (charset, _inner_charset(content, media_type), _wide_charset(content), "utf-8"):
        if text is None:
            text = _by_word(content, label)
    return text


def _wide_charset(content: bytes) -> str | None:
    """UTF-16 without a mark, by where its zeros stand: they would pass for UTF-8."""
    sample = content[: _SAMPLE_BYTES // 16]
    zeros = (sample[::2].count(0), sample[1::2].count(0))
    if max(zeros) * 4 < len(sample) or min(zeros) * 10 > max(zeros):
        return None
    return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"


def known_charset(label: str | None) -> str | None:
    """Python's name of an encoding of text; None for what is none."""
    if label is None:
        return None
    wanted = label.strip().strip("\"'").lower()
    try:
        found = codecs.lookup(_LABELS.get(wanted, wanted))
    except (LookupError, ValueError):
        return None
    is_of_text = getattr(found, "_is_text_encoding", True)
    return found.name if is_of_text and found.name.replace("_", "-") not in _NO_CHARSETS else None


def _by_mark(content: bytes) -> str | None:
    for mark, name in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(name, errors="replace")
    return None


def _by_word(content: bytes, label: str | None) -> str | None:
    """None when nothing is declared, or the content is not that."""
    name = known_charset(label)
    if name is None:
        return None
    if name in _WESTERN:
        # UTF-8 that a server calls Latin-1 is common; Latin-1 that happens to be UTF-8 is not.
        return _text_as(content, "utf-8", is_strict=True) or _western(content)
    return _text_as(content, name)


def _western(content: bytes) -> str:
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _text_as(content: bytes, name: str, *, is_strict: bool = False) -> str | None:
    """The text; a few broken characters among many of a kind that only this encoding has do not count."""
    try:
        return content.decode(name)
    except UnicodeDecodeError:
        if is_strict:
            return None
    text = content.decode(name, errors="replace")
    broken = text.count("\N{REPLACEMENT CHARACTER}")
    foreign = len(text) - len(text.encode("ascii", errors="ignore")) - broken
    return text if foreign >= 10 * broken else None


def _inner_charset(content: bytes, media_type: str) -> str | None:
    head = content[:_HEAD_BYTES]
    found = _XML.search(head) or (_META.search(head) if "html" in media_type else None)
    label = found.group(1).decode("ascii", errors="ignore") if found is not None else None
    # Who can read it so far knows that it is not of two bytes a character.
    return "utf-8" if label is not None and label.lower().startswith(("utf-16", "utf-32")) else label


def _guess(sample: bytes) -> str | None:
    """Western text when it can be, because a few accents tell a detector little; else what a detector finds."""
    if _is_western(sample):
        return "cp1252"
    best = from_bytes(sample, cp_isolation=list(_CANDIDATES)).best()
    return best.encoding if best is not None else None


def _is_western(sample: bytes) -> bool:
    """Whether the sample reads as text in ASCII letters with some of Western Europe's among them."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    foreign = sum(not character.isascii() for character in text)
    return foreign * 4 <= len(text) and _ODD_INSIDE_WORDS.search(text) is None and not _CONTROLS.search(text)

"""The text of a Word document (.docx): paragraphs, tables, lists, notes, in the order of the document.

What was deleted under track changes is left out, what was inserted is in.
"""

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import docx
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml

from activities.readers.reading import MAX_TEXT_CHARACTERS, Reading, Unreadable, plain

#: Of all parts together as the archive declares them: reading stops at what is declared.
MAX_UNPACKED_BYTES = 128 * 1024 * 1024
_MAX_PARTS = 5_000
_PIECES = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
#: A fallback says again what stands beside it, for programs that know less.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_LEFT_OUT = frozenset({qn("w:del"), qn("w:moveFrom"), _FALLBACK})


def read_docx(content: bytes) -> Reading:
    """The text of the main part, then of foot- and endnotes; raises Unreadable."""
    _check_size(content)
    try:
        package = docx.Document(BytesIO(content)).part
        parts = [package, *(relation.target_part for relation in package.rels.values() if _is_note(relation))]
        texts = [_text(_root(part)) for part in parts]
    except (OpcError, KeyError, ValueError, LookupError, SyntaxError, AttributeError, zipfile.BadZipFile) as error:
        raise Unreadable(f"it is not a Word document that can be opened ({type(error).__name__})") from None
    text = plain("\n".join(part for part in texts if part.strip()))
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Unreadable(f"it has more than {MAX_TEXT_CHARACTERS:,} characters of text")
    return Reading(text=text)


def _check_size(content: bytes) -> None:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise Unreadable(f"it is not a Word document that can be opened ({type(error).__name__})") from None
    if len(entries) > _MAX_PARTS or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise Unreadable(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes or {_MAX_PARTS:,} parts")
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise Unreadable("it is protected by a password")


def _is_note(relation: Any) -> bool:
    return not relation.is_external and relation.reltype.rpartition("/")[2] in {"footnotes", "endnotes"}


def _root(part: Any) -> Any:
    # Without entities and network, as python-docx reads the rest.
    return part.element if hasattr(part, "element") else parse_xml(part.blob)


def _text(root: Any) -> str:
    return lines_of_cells("".join(_pieces(root))).strip("\n")


def lines_of_cells(text: str) -> str:
    """`text` where the end of a cell's last paragraph is the end of the cell, and that of its last cell the row's."""
    # Whole runs: `[\n\t]*\t` would read one without a tab to its end again from each end of line in it.
    return re.sub(r"[\n\t]+", _end_of_cells, text).replace("\t\n", "\n")


def _end_of_cells(run: re.Match[str]) -> str:
    _, tab, ends_of_line = run[0].rpartition("\t")
    return tab + ends_of_line


def _pieces(root: Any) -> Iterator[str]:
    """In document order, without recursion: parts may be nested however deep."""
    paragraph, row, cell, text = qn("w:p"), qn("w:tr"), qn("w:tc"), qn("w:t")
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        element, is_end = stack.pop()
        tag = element.tag
        if is_end:
            yield {paragraph: "\n", row: "\n", cell: "\t"}.get(tag, "")
            continue
        if tag in _LEFT_OUT:
            continue
        if tag == text:
            yield element.text or ""
        elif tag in _PIECES and element.getparent().tag == qn("w:r"):
            yield _PIECES[tag]
        else:
            stack.append((element, True))
            stack.extend((child, False) for child in reversed(element))

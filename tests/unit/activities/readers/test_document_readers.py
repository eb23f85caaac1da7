"""Documents that are read, and documents that are made to hurt, in the process that reads them."""

import io
import json
import re
import zipfile
from typing import Any

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import DocumentUnreadable
from activities.readers.document_readers import DocumentReaders, Format
from activities.readers.docx_reader import lines_of_cells
from tests.unit.activities.tools.pdf_files import packed_page

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.fixture(scope="module")
def readers() -> DocumentReaders:
    return DocumentReaders(1024 * 1024 * 1024)


def word_document() -> bytes:
    document = docx.Document()
    document.add_paragraph("Hello\tthere")
    table = document.add_table(2, 2)
    table.cell(0, 0).text, table.cell(0, 1).text, table.cell(1, 0).text = "a", "b", "c"
    document.add_paragraph("the end")
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def word_document_of(xml: str) -> bytes:
    """The same with another main part."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word_document())) as made, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as own:
        for entry in made.infolist():
            own.writestr(entry.filename, xml if entry.filename == "word/document.xml" else made.read(entry))
    return file.getvalue()


def body(xml: str, before: str = "") -> bytes:
    return word_document_of(f'<?xml version="1.0"?>{before}<w:document {_WORD}><w:body>{xml}</w:body></w:document>')


async def test_a_page_is_read_as_it_is_seen(readers: DocumentReaders) -> None:
    page = """<!doctype html><title>Harbour  news</title><script>var x = "<p>no</p>"</script><style>p{}</style>
    <nav>Home | About</nav><h1>Ferry</h1><p>The <b>fer</b>ry\n runs &amp; runs</p><p>Two<br>lines
    <table><tr><td>a<td>b<tr><td>c<td>d</table><pre>if x:\n    y</pre><ul><li>one<li>two</ul>"""

    found = await readers.read(page.encode(), format="html", name="page")

    assert (
        "Harbour news\nHome | About\n\nFerry\n\nThe ferry runs & runs\n\nTwo\nlines\n\na\tb\nc\td\n\n"
        "if x:\n    y\n\none\ntwo" == found.text
    )


async def test_a_word_document_is_read_with_its_tables(readers: DocumentReaders) -> None:
    found = await readers.read(word_document(), format="docx", name="a.docx")

    assert "Hello\tthere\na\tb\nc\nthe end" == found.text


async def test_of_tracked_changes_the_new_text_is_read(readers: DocumentReaders) -> None:
    changed = body(
        "<w:p><w:del><w:r><w:delText>old</w:delText><w:t>old</w:t></w:r></w:del>"
        "<w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>"
    )

    assert "new" == (await readers.read(changed, format="docx", name="a.docx")).text


async def test_no_entity_of_a_word_document_is_resolved(readers: DocumentReaders) -> None:
    thief = body("<w:p><w:r><w:t>a&x;b</w:t></w:r></w:p>", '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>')

    assert "root:" not in (await readers.read(thief, format="docx", name="a.docx")).text


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [{"a": "1", "b": "x\n;y", "b_3": "3"}, {"a": "4", "b": None, "b_3": None}]),
        ({"delimiter": ";"}, [{"a": "1", "b": "x\n;y", "b_3": "3"}, {"a": "4", "b": None, "b_3": None}]),
        ({"header": False}, [["a", "b", "b"], ["1", "x\n;y", "3"], ["4"]]),
        ({"delimiter": ","}, [{"a;b;b": '1;"x'}, {"a;b;b": ';y";3'}, {"a;b;b": "4"}]),
    ],
)
async def test_a_table_is_read_row_by_row(readers: DocumentReaders, options: dict[str, Any], rows: list[Any]) -> None:
    found = await readers.read(b'a;b;b\r\n1;"x\n;y";3\r\n\r\n4\r\n', format="csv", name="t.csv", options=options)

    assert rows == [json.loads(line) for line in found.text.splitlines()]


async def test_every_column_has_a_name_of_its_own(readers: DocumentReaders) -> None:
    found = await readers.read(b"b,b_2,b,\n1,2,3,4,5\n", format="csv", name="t.csv")

    assert {"b": "1", "b_2": "2", "b_3": "3", "column_4": "4", "column_5": "5"} == json.loads(found.text)


@pytest.mark.parametrize(("content", "is_list", "lines"), [(b'[1,{"a":[]}]', True, 2), (b'{"a":1}', False, 1)])
async def test_json_is_read_item_by_item(readers: DocumentReaders, content: bytes, is_list: bool, lines: int) -> None:
    found = await readers.read(content, format="json", name="a.json")

    assert (is_list, lines) == (found.is_list, len(found.text.splitlines()))


@pytest.mark.parametrize(
    ("format_", "content", "reason"),
    [
        ("docx", b"PK\x03\x04nothing", "not a Word document"),
        ("docx", word_document()[:-200], "not a Word document"),
        ("docx", body("<w:p><w:r><w:t>&a9;</w:t></w:r></w:p>", f'<!DOCTYPE d [<!ENTITY a0 "ha">{_LAUGHS}]>'), "Word"),
        ("docx", word_document_of(" " * 140_000_000), "unpacks to more than"),
        ("csv", b"a\n" + b'"' + b"x" * 5_000_000, "not CSV"),
        ("csv", b"," * 20_000 + b"\n", "more than 10,000 columns"),
        ("json", b"[" * 100_000, "nested deeper"),
        ("json", b"[1e999]", "too large for a double"),
        ("json", b"", "there is nothing"),
    ],
    ids=["no zip", "cut zip", "laughs", "zip bomb", "field", "columns", "nesting", "infinity", "nothing"],
)
async def test_what_is_made_to_hurt_is_refused(
    readers: DocumentReaders, format_: Format, content: bytes, reason: str
) -> None:
    with pytest.raises(DocumentUnreadable, match=reason):
        await readers.read(content, format=format_, name="bad")


async def test_a_page_of_any_depth_is_read(readers: DocumentReaders) -> None:
    found = await readers.read(b"<b>" * 50_000 + b"deep", format="html", name="page")

    assert "deep" == found.text


async def test_a_reader_has_the_memory_that_it_was_lent_and_no_more() -> None:
    small = DocumentReaders(96 * 1024 * 1024)

    with pytest.raises(DocumentUnreadable, match="memory"):
        await small.read(b"[" + b"[1]," * 1_200_000 + b"1]", format="json", name="wide.json")


async def test_a_small_pdf_that_unpacks_to_much_ends_within_its_memory(readers: DocumentReaders) -> None:
    bomb = packed_page(b"BT /F1 12 Tf 20 100 Td " + b"(xxxxxxxx) Tj " * 2_000_000 + b"ET")
    assert len(bomb) < 100_000

    with pytest.raises(DocumentUnreadable):
        await readers.read(bomb, format="pdf", name="bomb.pdf")


async def test_an_answer_beyond_the_limit_is_cut_off(readers: DocumentReaders) -> None:
    with pytest.raises(DocumentUnreadable, match="take more than 1,000 bytes"):
        await readers.read(b"[" + b"1," * 5_000 + b"1]", format="json", name="long.json", limit_bytes=1_000)


@given(st.text("\n\ta", max_size=12))
def test_the_end_of_a_cell_takes_the_ends_of_its_paragraphs_with_it(text: str) -> None:
    assert lines_of_cells(text) == re.sub(r"[\n\t]*\t", "\t", text).replace("\t\n", "\n")

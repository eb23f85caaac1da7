import asyncio
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import DocumentUnreadable
from activities.readers import document_readers as module
from activities.readers.document_readers import DocumentReaders
from activities.tools.document_text import BINARY, DOCX, PDF, PLAIN_TEXT, document_text, media_type_of, readable_text
from tests.deadline import deadline
from tests.unit.activities.tools.pdf_files import (
    SAMPLE_PDF,
    empty_page,
    locked_page,
    page_saying,
    page_that_is_no_page,
)

READERS = DocumentReaders(1024 * 1024 * 1024)


def interpreter_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Puts a shell script in Python's place, so that the reader's process behaves as no reader of ours would."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def is_alive(process_id: str) -> bool:
    return Path("/proc", process_id).exists()


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"%PDF-1.7\n...", "report.txt", PDF),
        (b"\n  %PDF-1.7", "report", PDF),
        (b"a %PDF- in the text", "report", PLAIN_TEXT),
        (b"# Title", "report.MD", "text/markdown"),
        (b"a,b", "table.csv", "text/csv"),
        (b"{}", "data.json", "application/json"),
        (b"<p>", "page.html", "text/html"),
        (b"plain", "notes.txt", PLAIN_TEXT),
        (b"", "empty", PLAIN_TEXT),
        (b"GIF89a\x00\x01", "picture.gif", BINARY),
        (b"PK\x03\x04...", "letter.docx", DOCX),
        (b"\xff\xfea\x00", "notes.txt", PLAIN_TEXT),
    ],
)
def test_the_first_bytes_and_the_name_tell_what_a_document_is(content: bytes, name: str, media_type: str) -> None:
    assert media_type == media_type_of(content, name=name)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00\ufeff")))
async def test_a_text_in_utf_8_is_read_as_it_is(text: str) -> None:
    found = await document_text(READERS, text.encode("utf-8"), media_type=PLAIN_TEXT, name="notes.txt")

    assert (text, 1) == (found.text, found.page_count)


async def test_a_byte_order_mark_is_no_part_of_the_text_and_nul_becomes_a_replacement_character() -> None:
    found = await document_text(READERS, b"\xef\xbb\xbfa\x00b", media_type=PLAIN_TEXT, name="notes.txt")

    assert "a\ufffdb" == found.text


async def test_a_text_in_another_encoding_is_read_too() -> None:
    found = await document_text(READERS, b"caf\xe9 au lait", media_type=PLAIN_TEXT, name="latin.txt")

    assert "caf\u00e9 au lait" == found.text


async def test_markup_is_kept_where_the_text_of_a_file_is_wanted_and_read_where_its_content_is() -> None:
    page = "<p>S\u00fcd".encode("latin-1")

    written = await document_text(READERS, page, media_type="text/html", name="a.html", charset="iso-8859-1")
    seen = await readable_text(READERS, page, media_type="text/html", name="a.html", charset="iso-8859-1")

    assert ("<p>S\u00fcd", "S\u00fcd") == (written.text, seen.text)


async def test_a_binary_file_is_refused() -> None:
    with pytest.raises(DocumentUnreadable, match="neither a text nor a document"):
        await document_text(READERS, b"GIF89a\x00", media_type=BINARY, name="picture.gif")


async def test_a_pdf_gives_the_text_of_all_its_pages() -> None:
    found = await document_text(READERS, SAMPLE_PDF.read_bytes(), media_type=PDF, name="sample.pdf")

    assert 4 == found.page_count
    assert found.text.startswith("Vendor Review, Third Quarter 2025\n")
    assert not {"\r", "\x00", "\ufffe"} & set(found.text)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.7\nand nothing that belongs there", "not a PDF that can be opened"),
        (SAMPLE_PDF.read_bytes()[:200], "not a PDF that can be opened"),
        (locked_page(), "protected by a password"),
        (empty_page(), "no text layer"),
        (page_that_is_no_page(), "damaged|opened"),
    ],
)
async def test_a_pdf_without_readable_text_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    assert PDF == media_type_of(content, name="a.pdf")

    with pytest.raises(DocumentUnreadable, match=reason):
        await document_text(READERS, content, media_type=PDF, name="a.pdf")


async def test_the_death_of_the_reader_makes_the_document_unreadable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interpreter_that(monkeypatch, tmp_path, "kill -KILL $$")

    with pytest.raises(DocumentUnreadable, match="ended with -9"):
        await document_text(READERS, SAMPLE_PDF.read_bytes(), media_type=PDF, name="sample.pdf")


async def test_a_reader_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter_that(monkeypatch, tmp_path, "exec sleep 600")
    monkeypatch.setattr(module, "READ_TIMEOUT_SECONDS", 0.1)

    async with deadline("the reader to be ended"):
        with pytest.raises(DocumentUnreadable, match=r"over 0\.1 s"):
            await document_text(READERS, page_saying("late"), media_type=PDF, name="a.pdf")


async def test_a_step_that_is_cancelled_leaves_no_reader_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pid")
    interpreter_that(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    reading = asyncio.create_task(document_text(READERS, page_saying("late"), media_type=PDF, name="a.pdf"))
    # Comes back once the script has begun, and has written its process id.
    process_id = (await asyncio.to_thread((tmp_path / "pid").read_text, encoding="ascii")).strip()
    assert is_alive(process_id)

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert not is_alive(process_id)


async def test_the_reader_sees_none_of_the_workers_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VAULT_KEY", "OPENAI_API_KEY", "DATABASE_URL"):
        monkeypatch.setenv(name, "a-secret-of-the-worker")
    interpreter_that(
        monkeypatch, tmp_path, f'env > {tmp_path}/seen; /bin/cat > {tmp_path}/read; echo \'{{"problem": "no"}}\''
    )

    with pytest.raises(DocumentUnreadable):
        await document_text(READERS, page_saying("hello"), media_type=PDF, name="a.pdf")

    assert page_saying("hello") == (tmp_path / "read").read_bytes()
    assert "a-secret-of-the-worker" not in (tmp_path / "seen").read_text(encoding="utf-8")

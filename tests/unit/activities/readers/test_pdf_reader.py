import pytest

from activities.readers import pdf_reader
from activities.readers.pdf_reader import read_pdf
from activities.readers.reading import Reading, Unreadable
from tests.unit.activities.tools.pdf_files import SAMPLE_PDF, empty_page, locked_page, page_saying


def test_the_text_and_the_number_of_pages_come_out() -> None:
    assert Reading(text="Hello, world", page_count=1) == read_pdf(page_saying("Hello, world"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "can be opened"), (b"%PDF-1.7", "can be opened"), (locked_page(), "password"), (empty_page(), "text layer")],
)
def test_what_cannot_be_read_is_a_problem_in_words(content: bytes, problem: str) -> None:
    with pytest.raises(Unreadable, match=problem):
        read_pdf(content)


def test_a_text_beyond_the_limit_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_reader, "MAX_TEXT_CHARACTERS", 1_000)

    with pytest.raises(Unreadable, match="more than 1,000 characters of text"):
        read_pdf(SAMPLE_PDF.read_bytes())

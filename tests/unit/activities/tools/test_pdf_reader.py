import json
import subprocess
import sys

import pytest

from activities.tools import pdf_reader
from activities.tools.pdf_reader import read_pdf
from tests.unit.activities.tools.pdf_files import SAMPLE_PDF, empty_page, locked_page, page_saying


def test_the_text_and_the_number_of_pages_come_out() -> None:
    assert {"text": "Hello, world", "page_count": 1} == read_pdf(page_saying("Hello, world"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "can be opened"), (b"%PDF-1.7", "can be opened"), (locked_page(), "password"), (empty_page(), "text layer")],
)
def test_what_cannot_be_read_is_a_problem_in_words(content: bytes, problem: str) -> None:
    found = read_pdf(content)

    assert ["problem"] == list(found)
    assert problem in found["problem"]


def test_a_text_beyond_the_limit_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_reader, "MAX_TEXT_CHARACTERS", 1_000)

    assert {"problem": "it has more than 1,000 characters of text"} == read_pdf(SAMPLE_PDF.read_bytes())


def test_the_process_answers_in_json_and_is_bounded_in_memory_and_processor_time() -> None:
    program = """
import resource
from activities.tools.pdf_reader import main
main()
print()
try:
    bytearray(3 * 1024**3)
except MemoryError:
    print("memory is bounded")
print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_CORE))
"""

    reader = subprocess.run(
        [sys.executable, "-c", program], input=page_saying("bounded"), capture_output=True, check=True
    )
    answer, memory, limits = reader.stdout.decode("ascii").splitlines()

    assert {"text": "bounded", "page_count": 1} == json.loads(answer)
    assert "memory is bounded" == memory
    assert "(100, 100) (0, 0)" == limits

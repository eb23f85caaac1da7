import pytest

from workflows.unquoted_texts import meant_as_text, quoted


def _is_declared(word: str) -> bool:
    return word in {"inputs", "item", "total", "a"}


@pytest.mark.parametrize(
    "source",
    [
        "2026-03-01", " 2026-3-1 ", "01/03/2026", "2026/03/01", "1-3-26", "555-1234", "1-800-555-0100", "0049-30-12",
        "10-3", "1/2", "1.5-2", "en-US", "long-form", "openai/small", "docs/letter.txt", "0123", "-007",
        "2026 - 03 - 01", "(555)-1234", "[2024-11-12]", "a ? 2024-11-12 : b",
        "letter.txt", "en_US", "DE89370400440532013000", "3.10", "1.0", "yes", "No", "off", "none",
    ],
)  # fmt: skip
def test_dates_numbers_codes_and_words_are_told_from_arithmetic(source: str) -> None:
    assert meant_as_text(source, _is_declared) is not None


@pytest.mark.parametrize(
    "source",
    [
        "10 - 3", "10 / 3", "inputs.a - 1", "inputs.a-1", "item-1", "a.output.n/2", "total-discount", "1-item",
        "24*60*60", "1+1", "-5", "0", "0.5", "1.25", "10", "1e10", "0x10", "english", "letter.text",
        "a.txt", "a[0]-1", "size('2024-11-12')", "24*60/2", "2/60*24",
        "'2026-03-01'", "'007'",
        "'a-b' + 'c-d'", "item0123", "size(total) - 1",
    ],
)  # fmt: skip
def test_arithmetic_that_is_meant_is_no_text(source: str) -> None:
    assert meant_as_text(source, _is_declared) is None


def test_a_declared_name_is_no_word() -> None:
    assert meant_as_text("yes", {"yes"}.__contains__) is None


@pytest.mark.parametrize(
    ("source", "shown"),
    [(" 2026-03-01 ", "\"'2026-03-01'\""), ("it's", "\"'text'\""), ("x" * 100, "\"'text'\""), ("a\nb", "\"'text'\"")],
)
def test_the_advice_shows_the_text_where_it_can_stand_in_quotes(source: str, shown: str) -> None:
    assert shown == quoted(source)

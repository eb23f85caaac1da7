import re
from typing import SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.functions import text_splitter
from activities.functions.text_splitter import TEXT_SPLITTER, split_text

#: Texts that look like documents: words, sentence ends, headings, and every kind of white space.
PARTS = st.sampled_from(
    [" ", "\t", "\n", "\n\n", "\r\n", "\x85", "\xa0", "a", "Word", "two words. ", "Why? ", "# Title\n", "3.1 Title\n"]
)
TEXTS = st.lists(PARTS | st.text(max_size=12), max_size=60).map("".join)
#: Words of every length with any white space between them, and headings among the lines.
PROSE = st.lists(
    st.tuples(
        st.integers(min_value=1, max_value=30).map(lambda size: "w" * size),
        st.sampled_from([" ", " ", "\t", "\xa0", ". ", "\n", "\n# Title\n"]),
    ).map("".join),
    min_size=8,
    max_size=40,
).map("".join)
LIMITS = st.integers(min_value=1, max_value=120)


def letters(text: str) -> str:
    return "".join(text.split())


@given(text=TEXTS, limit=LIMITS)
def test_no_piece_is_empty_or_longer_than_the_limit(text: str, limit: int) -> None:
    pieces = split_text(text, max_characters=limit)

    assert all(1 <= len(piece) <= limit for piece in pieces)
    assert pieces == [piece.strip() for piece in pieces]


@given(text=TEXTS, limit=LIMITS)
def test_the_pieces_hold_every_letter_in_order(text: str, limit: int) -> None:
    assert letters(text) == letters("".join(split_text(text, max_characters=limit)))


@given(text=PROSE, more=st.integers(min_value=0, max_value=12))
def test_a_word_that_fits_a_piece_is_never_cut(text: str, more: int) -> None:
    limit = max(len(word) for word in text.split()) + more

    assert text.split() == " ".join(split_text(text, max_characters=limit)).split()


@given(text=TEXTS, limit=LIMITS)
def test_the_same_text_is_always_cut_in_the_same_places(text: str, limit: int) -> None:
    pieces = split_text(text, max_characters=limit)

    assert pieces == split_text(text, max_characters=limit)
    assert pieces == TEXT_SPLITTER.call({"text": text, "max_characters": limit})["chunks"]


@pytest.mark.parametrize("text", ["", " \n\t\n "])
def test_a_text_without_words_has_no_pieces(text: str) -> None:
    assert {"chunks": [], "count": 0} == TEXT_SPLITTER.call({"text": text})


def test_a_text_within_the_limit_stays_in_one_piece() -> None:
    assert ["One line.\nAnother."] == split_text("  One line.\n\nAnother.\n", max_characters=18)


@pytest.mark.parametrize("heading", ["# Results", "###### Results", "3 Results", "3.1 Results", "12.4.1. Results"])
def test_a_heading_opens_a_piece_once_the_one_before_is_half_full(heading: str) -> None:
    before, after = "b" * 30, "a" * 10

    assert [before, f"{heading}\n{after}"] == split_text(f"{before}\n{heading}\n{after}", max_characters=60)


def test_a_heading_after_little_text_opens_no_piece() -> None:
    assert ["Short.\n# Results\nGood."] == split_text("Short.\n# Results\nGood.", max_characters=60)


@pytest.mark.parametrize("line", ["#hashtag", "####### seven", "3.1Results", "2025 was good", "Results 3.1"])
def test_a_line_that_only_resembles_a_heading_opens_no_piece(line: str) -> None:
    text = f"{'b' * 30}\n{line}"

    assert [text] == split_text(text, max_characters=60)


def test_a_heading_stays_with_the_line_below_it() -> None:
    text = f"{'b' * 40}\n# Results\n{'a' * 30}"

    assert ["b" * 40, f"# Results\n{'a' * 30}"] == split_text(text, max_characters=60)


def test_headings_without_text_are_kept() -> None:
    assert ["# One\n## Two\n# Three"] == split_text("# One\n## Two\n# Three", max_characters=60)


def test_a_heading_too_long_to_stand_with_the_word_below_it_stands_alone() -> None:
    assert ["# A heading of 24 letters", "w" * 40] == split_text(
        "# A heading of 24 letters\n" + "w" * 40, max_characters=52
    )


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("One two. Three four five.", ["One two.", "Three four", "five."]),
        ("Really?! Yes. And no more", ["Really?!", "Yes.", "And no", "more"]),
        ("one two three four", ["one two", "three four"]),
        ("one\ttwo\xa0three four", ["one\ttwo", "three four"]),
        ("abcdefghijklmnopqrstu", ["abcdefghij", "klmnopqrst", "u"]),
        ("abcdefghij klm", ["abcdefghij", "klm"]),
        ("v1.25 is out of date", ["v1.25 is", "out of", "date"]),
    ],
)
def test_a_long_line_is_cut_at_sentence_ends_then_at_spaces_then_anywhere(line: str, pieces: list[str]) -> None:
    assert pieces == split_text(line, max_characters=10)


@pytest.mark.parametrize("line", ["x" * 6_000_000, "word " * 1_200_000], ids=["one word", "many words"])
def test_six_megabytes_in_a_single_line_are_split_in_one_pass(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_through = 0
    last_start = text_splitter._last_start

    def counted(pattern: re.Pattern[str], text: str, start: int, stop: int) -> int | None:
        nonlocal looked_through
        looked_through += stop - start
        return last_start(pattern, text, start, stop)

    monkeypatch.setattr(text_splitter, "_last_start", counted)
    pieces = split_text(line, max_characters=50)

    assert len(pieces) >= len(line) // 50
    # For ends of sentences and for spaces.
    assert looked_through <= 2 * len(line) * 50 / 45


def test_a_long_line_is_not_copied_for_each_piece_of_it() -> None:
    copied = 0

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, key: SupportsIndex | slice) -> str:
            nonlocal copied
            part = super().__getitem__(key)
            copied += len(part)
            return part

    line = Counted("word " * 20_000)

    pieces = list(text_splitter._cut(line, 50, heading_length=0))

    assert len(pieces) > 1_000
    assert copied <= len(line)

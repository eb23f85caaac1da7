"""Expressions that were meant as texts: `2026-03-01` would be 2022, and `555-1234` would be -679."""

import re
from collections.abc import Callable

_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
#: Words and numbers that `-` and `/` hold together without spaces.
_JOINED = re.compile(r"-?[A-Za-z0-9_.]+(?:[-/][A-Za-z0-9_.]+)+")
#: Numbers alone, wherever they stand in an expression; the first one may stand in brackets, as a prefix does.
_NUMBERS = re.compile(r"(?<![\w.)\]*+%])(?:\(\d+\)|\d+(?:\.\d+)?)(?:[-/]\d+(?:\.\d+)?)+(?![\w.(*+%])")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/]\d{1,2}[-/](?:\d{4}|\d{2})")
_LEADING_ZERO = re.compile(r"(?<![\w.])0\d+(?![\w.]*[A-Za-z_])")
#: A number that is another text than it was.
_TRAILING_ZERO = re.compile(r"-?\d+\.\d*0")
_WORDS = frozenset({"yes", "no", "on", "off", "none", "nil", "undefined", "nan"})
_FILE = re.compile(r"([A-Za-z_]\w*)\.(?:txt|pdf|csv|docx|xlsx|png|jpg|yaml|yml|com|org|net)")
_CODE = re.compile(r"[A-Z]{2}\d{4,}\w*|[a-z]{2}_[A-Z]{2}")


def meant_as_text(source: str, is_declared: Callable[[str], bool]) -> str | None:
    """What an expression looks like, if not like one; None for those that somebody means.

    `is_declared` tells the names of nodes, declared inputs and the names of a body from other words. Arithmetic on one
    of them, and any with spaces around its operators, is meant.
    """
    text = source.strip()
    numbers = _NUMBERS.search(_TEXT.sub("''", text))
    if numbers is not None:
        return "a date" if _DATE.fullmatch(numbers.group()) else "a telephone number, a code or a range"
    if _JOINED.fullmatch(text):
        words = [word.partition(".")[0] for word in re.split(r"[-/]", text) if word]
        return None if any(is_declared(word) for word in words) else "a text"
    if _LEADING_ZERO.search(_TEXT.sub("''", text)):
        return "a number whose leading zero counts"
    if _TRAILING_ZERO.fullmatch(text):
        return "a version"
    return _as_a_word(text, is_declared)


def _as_a_word(text: str, is_declared: Callable[[str], bool]) -> str | None:
    if is_declared(text.partition(".")[0]):
        return None
    if text.lower() in _WORDS:
        return "a word"
    if _FILE.fullmatch(text):
        return "the name of a file or a host"
    return "a code" if _CODE.fullmatch(text) else None


def quoted(source: str) -> str:
    """The text as a document says it where texts are expressions: in quotes inside the quotes."""
    text = source.strip()
    shown = text if len(text) <= 40 and not set(text) & set("'\"\\\n") else "text"
    return f"\"'{shown}'\""

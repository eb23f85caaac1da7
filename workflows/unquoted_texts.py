"""Expressions that were meant as texts: `2026-03-01` would be 2022, and `555-1234` would be -679."""

import re
from collections.abc import Callable

_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
#: Words and numbers that `-` and `/` hold together without spaces.
_JOINED = re.compile(r"-?[A-Za-z0-9_.]+(?:[-/][A-Za-z0-9_.]+)+")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/]\d{1,2}[-/](?:\d{4}|\d{2})")
_LEADING_ZERO = re.compile(r"(?<![\w.])0\d+(?![\w.]*[A-Za-z_])")
#: A number that is another text than it was.
_TRAILING_ZERO = re.compile(r"-?\d+\.\d*0")
_WORDS = frozenset({"yes", "no", "on", "off", "none", "nil", "undefined", "nan"})


def meant_as_text(source: str, is_declared: Callable[[str], bool]) -> str | None:
    """What an expression looks like, if not like one; None for those that somebody means.

    `is_declared` tells the names of nodes, declared inputs and the names of a body from other words. Arithmetic on one
    of them, and any with spaces around its operators, is meant.
    """
    text = source.strip()
    if _DATE.fullmatch(text):
        return "a date"
    if _JOINED.fullmatch(text):
        words = [word.partition(".")[0] for word in re.split(r"[-/]", text) if word]
        if any(is_declared(word) for word in words):
            return None
        return "a telephone number, a code or a range" if all(word.isdigit() for word in words) else "a text"
    if _LEADING_ZERO.search(_TEXT.sub("", text)):
        return "a number whose leading zero counts"
    if _TRAILING_ZERO.fullmatch(text):
        return "a version"
    return "a word" if text.lower() in _WORDS and not is_declared(text) else None


def quoted(source: str) -> str:
    """The text as a document says it where texts are expressions: in quotes inside the quotes."""
    text = source.strip()
    shown = text if len(text) <= 40 and not set(text) & set("'\"\\\n") else "text"
    return f"\"'{shown}'\""

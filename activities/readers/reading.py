"""What a reader gives: text, or why there is none."""

from dataclasses import dataclass

MAX_TEXT_CHARACTERS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The text of a document; of tables and lists, a line of JSON for each row."""

    text: str
    page_count: int = 1
    #: Whether the text is lines of JSON.
    is_list: bool = False


class Unreadable(Exception):  # A fact.
    """Nothing can be read; the message says why, in words that quote nothing."""


def plain(text: str) -> str:
    """`text` with line ends of one kind, and U+FFFD for NUL, which databases refuse."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\N{REPLACEMENT CHARACTER}")

"""The text of an HTML page as a browser would show it: lines where blocks end, and no scripts or styles.

Parsed by the HTML standard (lexbor), and walked without recursion: a page may be nested however deep.
"""

import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from activities.readers.reading import MAX_TEXT_CHARACTERS, Reading, Unreadable, plain

_UNSEEN = frozenset({"script", "style", "template", "noscript", "head", "svg", "math", "iframe", "object", "select"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "center", "details", "dialog", "div", "dl", "fieldset"),
        *("figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "menu", "nav", "ol"),
        *("p", "pre", "section", "table", "ul"),
    }
)
#: Each begins a line, and no more.
_LINES = frozenset({"br", "caption", "dd", "dt", "figcaption", "legend", "li", "summary", "tr"})
_CELLS = frozenset({"td", "th"})
_SPACES = re.compile(r"[ \t\n\f\r]+")


def read_html(content: bytes) -> Reading:
    """The title and the text of a page in UTF-8; raises Unreadable."""
    page = LexborHTMLParser(content.decode(errors="replace"))
    title = page.css_first("title")
    heading = _SPACES.sub(" ", title.text()).strip() if title is not None else ""
    body = _lines("".join(_pieces(page.body))) if page.body is not None else ""
    text = plain("\n".join(part for part in (heading, body) if part))
    if len(text) > MAX_TEXT_CHARACTERS:
        raise Unreadable(f"it has more than {MAX_TEXT_CHARACTERS:,} characters of text")
    return Reading(text=text)


def _lines(text: str) -> str:
    """Without blanks at the ends of lines, and with one empty line at most between two."""
    # One blank is what is left of the white space between two tags; more are the indentation of preformatted text.
    lines = (line[1:] if line.startswith(" ") and not line.startswith("  ") else line for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip(" \t") for line in lines)).strip("\n")


def _pieces(body: Any) -> Iterator[str]:
    preformatted = 0
    for node, is_end in _walk(body):
        tag = node.tag
        if tag == "-text":
            text = node.text(deep=False) or ""
            yield "" if is_end else text if preformatted else _SPACES.sub(" ", text)
        elif tag in _BLOCKS or (tag in _LINES and not is_end):
            yield "\n"
        elif tag in _CELLS and is_end:
            yield "\t"
        if tag == "pre":
            preformatted += -1 if is_end else 1


def _walk(top: Any) -> Iterator[tuple[Any, bool]]:
    """Each node that is seen when it begins and when it ends, in the order of the page."""
    opened, node = [top], top.child
    yield top, False
    while opened:
        if node is None:
            ended = opened.pop()
            yield ended, True
            node = ended.next if opened else None
        elif node.tag in _UNSEEN:
            node = node.next
        else:
            yield node, False
            opened.append(node)
            node = node.child

"""The pages that users read, taken apart: their blocks of code, spans of code, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
#: Stands before a block that is a part of a document, or leaves something out.
FRAGMENT = "<!-- fragment -->"

_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code, indented by four blanks in its page."""

    page: Path
    #: Of its first line, from 1.
    line: int
    text: str
    is_fragment: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, without the indentation."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("    ") or (at and lines[at - 1].strip()):
            at += 1
            continue
        end = at
        while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
            end += 1
        text = "\n".join(line[4:] for line in lines[at:end]).rstrip()
        before = "".join(lines[max(0, at - 2) : at])
        yield Block(page=page, line=at + 1, text=text + "\n", is_fragment=FRAGMENT in before)
        at = end


def spans(page: Path) -> Iterator[str]:
    """The code that stands in sentences and tables of a page, each in one line."""
    text = "\n".join(line for line in page.read_text(encoding="utf-8").splitlines() if not line.startswith("    "))
    for found in _SPAN.finditer(text):
        yield found[1].replace("\n", " ")


def links(page: Path) -> Iterator[str]:
    """Where a page's links and pictures lead."""
    for found in _LINK.finditer(_without_code(page)):
        yield found[1] or found[2]


def anchors(page: Path) -> frozenset[str]:
    """What a link can name of a page, as GitHub makes it of headings."""
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _headings(page))
    return frozenset(slugs)


def table_rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of the Markdown tables in `text`, headings left out."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _headings(page: Path) -> list[str]:
    return _HEADING.findall(_without_blocks(page))


def _without_blocks(page: Path) -> str:
    return "\n".join(line for line in page.read_text(encoding="utf-8").splitlines() if not line.startswith("    "))


def _without_code(page: Path) -> str:
    return _SPAN.sub("", _without_blocks(page))

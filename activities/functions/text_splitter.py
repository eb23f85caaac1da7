"""`text_splitter`: a text in pieces that fit a prompt, cut where a reader would cut."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from activities.functions.function import Function
from runs.signatures import StepSignature

DEFAULT_MAX_CHARACTERS = 2_000
#: A heading opens a piece of its own once the piece before it is this full.
_FULL_ENOUGH = 0.5
_HEADING = re.compile(r"(?:#{1,6} |\d{1,3}(?:\.\d{1,3})*\.? +)\S[^\n]{0,100}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SPACE = re.compile(r"\s+")


def split_text(text: str, *, max_characters: int = DEFAULT_MAX_CHARACTERS) -> list[str]:
    """Pieces of at most `max_characters`, none empty; together they hold every word of `text`, in order.

    Cuts are made at headings (`# Title`, `3.1 Title`) where a piece is at least half full, else at line ends, sentence
    ends, spaces, and at last, inside a word that is longer than a piece, anywhere.
    """
    pieces: list[str] = []
    current = ""
    for block in _blocks(text, max_characters):
        opens = _HEADING.fullmatch(block.split("\n", 1)[0].strip()) is not None
        joined = f"{current}\n{block}" if current else block
        if current and (len(joined) > max_characters or (opens and len(current) >= max_characters * _FULL_ENOUGH)):
            pieces.append(current)
            current = block
        else:
            current = joined
    return [*pieces, current] if current else pieces


def _blocks(text: str, limit: int) -> Iterator[str]:
    """Lines and short paragraphs, none longer than `limit`; a heading stays with the line below it."""
    lines = [line.strip() for line in text.splitlines()]
    heading = ""
    for line in filter(None, lines):
        if _HEADING.fullmatch(line) and len(line) < limit // 2:
            if heading:
                yield heading
            heading = line
            continue
        yield from _cut(f"{heading}\n{line}" if heading else line, limit, heading_length=len(heading))
        heading = ""
    if heading:
        yield heading


def _cut(block: str, limit: int, *, heading_length: int) -> Iterator[str]:
    """`block` in parts of at most `limit`: cut at sentence ends below its heading, then at spaces, then anywhere.

    It works with places in the one text, never with copies of its rest: a text may be megabytes in a single line.
    """
    start, body = 0, heading_length + 1 if heading_length else 0
    while len(block) - start > limit:
        stop = start + limit
        at = (
            _last_start(_SENTENCE_END, block, max(start, body), stop) or _last_start(_SPACE, block, start, stop) or stop
        )
        yield block[start:at]
        space = _SPACE.match(block, at)
        start = space.end() if space else at
    yield block[start:]


def _last_start(pattern: re.Pattern[str], text: str, start: int, stop: int) -> int | None:
    """Where the last match that begins between two places, the second one included, begins."""
    return max((match.start() for match in pattern.finditer(text, start, stop + 1)), default=None)


def _call(arguments: Mapping[str, Any]) -> Any:
    limit = int(arguments.get("max_characters", DEFAULT_MAX_CHARACTERS))
    chunks = split_text(str(arguments["text"]), max_characters=limit)
    return {"chunks": chunks, "count": len(chunks)}


TEXT_SPLITTER = Function(
    signature=StepSignature(
        name="text_splitter",
        description="Cuts a text into pieces, best at headings.",
        input_schema={
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "max_characters": {"type": "integer", "minimum": 50, "maximum": 1_000_000},
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"chunks": {"type": "array", "items": {"type": "string"}}, "count": {"type": "integer"}},
            "required": ["chunks", "count"],
            "additionalProperties": False,
        },
    ),
    call=_call,
)

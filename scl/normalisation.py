"""The canonical view of a text that detection reads, so that disguises of the same letters look the same.

Only detection uses this view: what goes on to a model or into a report is the text as it came.
"""

import re
import unicodedata

#: Zero-width characters, joiners and invisible operators.
ZERO_WIDTH = "\u180e\u200b-\u200d\u2060-\u2064\ufeff"
#: Marks, embeddings, overrides and isolates of bidirectional text (UAX #9).
BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
#: Tag characters, an invisible copy of ASCII (Unicode 16.0, section 23.9).
TAGS = "\U000e0000-\U000e007f"

_INVISIBLE = re.compile(f"[\u00ad{ZERO_WIDTH}{BIDI}{TAGS}]+")


def has_invisible(text: str) -> bool:
    """Whether `text` has characters that `canonical_text` leaves out."""
    return not text.isascii() and _INVISIBLE.search(text) is not None


def canonical_text(text: str) -> str:
    """`text` in Unicode normalisation form NFKC, without zero-width, soft-hyphen, bidirectional and tag characters."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))

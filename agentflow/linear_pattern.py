"""Regular expressions of authors, in time linear in the text: RE2, which has no backtracking.

What RE2 cannot do (look-around, backreferences) is refused with its reason; `re` would do it in time that can double
with each letter of the text, holding the interpreter's lock (https://github.com/google/re2/wiki/Syntax).
"""

import re
from functools import lru_cache

import re2

MAX_PATTERN_CHARACTERS = 2_000
#: Bounds the compiled program too: 1 MiB allows about 10,000 instructions, and a search visits each once a character.
_MAX_MEMORY_BYTES = 1 << 20
#: Searching visits about so many (instruction, character) pairs in a microsecond.
_VISITS_PER_STEP = 100

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = _MAX_MEMORY_BYTES

#: ECMA 262's and Python's ways to write what RE2 writes otherwise.
_FOREIGN = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(Z)|(.))", re.DOTALL)
#: RE2 takes what it cannot count to for plain text.
_LONG_REPETITION = re.compile(r"(?<!\\[xu])\{\d*,?\d{5}")
_REASONS = (
    ("(?=", "it looks ahead, and patterns are matched in linear time"),
    ("(?!", "it looks ahead, and patterns are matched in linear time"),
    ("(?<=", "it looks behind, and patterns are matched in linear time"),
    ("(?<!", "it looks behind, and patterns are matched in linear time"),
)


class PatternRefused(ValueError):
    """A pattern that is no regular expression, or none that can be matched in linear time; callers tell where it is."""

    def __init__(self, *, pattern: str, reason: str) -> None:
        self.pattern, self.reason = pattern, reason
        shown = pattern if len(pattern) <= 80 else f"{pattern[:80]}…"
        super().__init__(f"pattern {shown!r} cannot be used: {reason}")


class LinearPattern:
    """A compiled pattern, found anywhere in a text unless it has anchors."""

    __slots__ = ("_compiled", "_size")

    def __init__(self, source: str, *, as_re2: str | None = None) -> None:
        """`as_re2` is how RE2 says it, where that is known; raises PatternRefused."""
        if len(source) > MAX_PATTERN_CHARACTERS:
            reason = f"it has {len(source):,} characters; {MAX_PATTERN_CHARACTERS:,} are allowed"
            raise PatternRefused(pattern=source, reason=reason)
        if _LONG_REPETITION.search(source):
            raise PatternRefused(pattern=source, reason="a repetition may count to 1,000")
        try:
            self._compiled = re2.compile(
                storable(_FOREIGN.sub(_as_re2, source) if as_re2 is None else as_re2), _OPTIONS
            )
        except re2.error as error:
            raise PatternRefused(pattern=source, reason=_reason(source, error)) from None
        self._size = int(self._compiled.programsize)

    @property
    def size(self) -> int:
        """The instructions that it is compiled to."""
        return self._size

    def steps(self, text: str) -> int:
        """What a search in `text` costs, in steps of about a microsecond; the same for the same pattern and length."""
        return 1 + self._size * len(text) // _VISITS_PER_STEP

    def is_found_in(self, text: str) -> bool:
        """Whether the pattern matches somewhere in `text`. Releases the interpreter's lock meanwhile."""
        return self._compiled.search(storable(text)) is not None


@lru_cache(maxsize=1_024)
def linear_pattern(source: str) -> LinearPattern:
    """The compiled pattern; raises PatternRefused."""
    return LinearPattern(source)


def storable(text: str) -> str:
    """`text` with halves of surrogate pairs replaced: RE2 reads UTF-8, which has none."""
    return text if text.isascii() else text.encode("utf-8", errors="surrogatepass").decode("utf-8", errors="replace")


def _as_re2(escape: re.Match[str]) -> str:
    point = escape[1] or escape[2] or escape[3]
    if point is not None:
        return f"\\x{{{point}}}"
    return r"\z" if escape[4] else escape[0]


def _reason(source: str, error: Exception) -> str:
    for opening, reason in _REASONS:
        if opening in source:
            return reason
    told = error.args[0] if error.args else "it does not parse"
    text = told.decode("utf-8", errors="replace") if isinstance(told, bytes) else str(told)
    if re.search(r"\\[1-9]", source):
        return "it refers back to a group, and patterns are matched in linear time"
    return text

r"""Patterns of schemas, which are ECMA-262's with its `u` flag, as RE2 says them.

Where RE2 would silently match something else, the pattern is translated, or refused with what to write. What ECMA-262
calls a mistake, and Python, Perl and RE2 read alike (`(?i)`, `\A`, `\Z`), stays what it means there.
"""

import re
from functools import lru_cache

from agentflow.linear_pattern import MAX_PATTERN_CHARACTERS, LinearPattern, PatternRefused

#: `WhiteSpace` and `LineTerminator` of ECMA-262, section 12.2 and 12.3; RE2's `\s` is five characters of ASCII.
_SPACES = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_NO_SPACES = (
    r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}"
    r"\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}"
)
#: `.` leaves out every LineTerminator, and RE2's the line feed alone.
_NO_LINE_END = r"[^\n\r\x{2028}\x{2029}]"
_PARTS = re.compile(
    r"""(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})
    |(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})
    |\\u(?P<four>[0-9a-fA-F]{4})
    |\\u\{0*(?P<point>[0-9a-fA-F]{1,6})\}
    |\\U(?P<eight>[0-9a-fA-F]{8})
    |\\c(?P<control>[A-Za-z])
    |(?P<nul>\\0(?![0-9]))
    |(?P<end>\\Z)
    |(?P<space>-?\\[sS](?:-(?!\]))?)
    |(?P<back>\\b)
    |(?P<foreign>\\[CQ])
    |(?P<escape>\\.)
    |(?P<empty>\[\^?\])
    |(?P<posix>\[:\^?[a-z]+:\])
    |(?P<open>\[\^?)
    |(?P<close>\])
    |(?P<from_none>\{,\d+\})
    |(?P<dot>\.)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_SIMPLE = {
    ("nul", False): r"\x{0}",
    ("nul", True): r"\x{0}",
    ("end", False): r"\z",
    ("end", True): r"\z",
    # In a class it is the backspace.
    ("back", True): r"\x{8}",
}
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_DOT_IS_ALL = re.compile(r"\(\?[a-zA-Z]*s")
_REFUSED_EVERYWHERE = frozenset({"foreign"})
_REFUSED_IN_CLASSES = frozenset({"posix"})
_REFUSED_OUTSIDE = frozenset({"empty", "from_none", "half"})
_REASONS = {
    "half": "half of a surrogate pair is no character; write the whole one, or `\\u{…}`",
    "foreign": "`\\C` and `\\Q` are not in ECMA-262",
    "empty": "a class that begins with `]` is empty in ECMA-262; write `\\]` for the bracket",
    "posix": "`[:…:]` is not in ECMA-262; write the characters, such as `A-Za-z`",
    "from_none": "`{,n}` is not in ECMA-262; write `{0,n}`",
}


def registered_pattern(source: str) -> LinearPattern:
    """The pattern as an author may register it; raises PatternRefused for what has another meaning in ECMA-262, too."""
    pattern = schema_pattern(source)
    if reason := _translated(source)[1]:
        raise PatternRefused(pattern=source, reason=reason)
    return pattern


@lru_cache(maxsize=1_024)
def schema_pattern(source: str) -> LinearPattern:
    """The compiled pattern of a schema that has been registered, perhaps long ago; raises PatternRefused."""
    if len(source) > MAX_PATTERN_CHARACTERS:
        return LinearPattern(source)
    return LinearPattern(source, as_re2=_translated(source)[0])


def _translated(source: str) -> tuple[str, str | None]:
    """The pattern as RE2 says it, and why it should not be taken, if so."""
    made: list[str] = []
    reason, in_class, dot = None, False, "." if _DOT_IS_ALL.search(_ESCAPE.sub("", source)) else _NO_LINE_END
    for part in _PARTS.finditer(source):
        kind = str(part.lastgroup)
        if kind in _REFUSED_EVERYWHERE or kind in (_REFUSED_IN_CLASSES if in_class else _REFUSED_OUTSIDE):
            reason = reason or _REASONS[kind]
        if kind == "empty" and in_class:
            # `[[]`: a bracket in a class, and its end.
            made.append(r"\[" + part[0][1:])
            in_class = False
        elif kind == "open" and in_class:
            made.append(r"\[" + part[0][1:])
        elif kind in ("open", "close", "empty"):
            in_class = kind != "close"
            made.append(part[0])
        else:
            made.append(dot if kind == "dot" and not in_class else _as_re2(part, kind, in_class=in_class))
    return "".join(made), reason


def _as_re2(part: re.Match[str], kind: str, *, in_class: bool) -> str:
    if kind in ("four", "point", "eight"):
        return f"\\x{{{part[kind]}}}"
    if kind == "half":
        return f"\\x{{{part[kind][2:]}}}"
    if kind == "pair":
        high, low = int(part[kind][2:6], 16), int(part[kind][8:], 16)
        return f"\\x{{{0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF):x}}}"
    if kind == "control":
        return f"\\x{{{ord(part[kind]) & 31:x}}}"
    if kind == "space":
        return _spaces(part, in_class=in_class)
    return _SIMPLE.get((kind, in_class), part[0])


def _spaces(part: re.Match[str], *, in_class: bool) -> str:
    r"""`\s` or `\S`; beside it in a class, a hyphen is one and makes no range."""
    before, escape, after = re.split(r"(\\[sS])", part[0])
    if in_class:
        return before.replace("-", r"\-") + (_SPACES if escape == r"\s" else _NO_SPACES) + after.replace("-", r"\-")
    opening = "[" if escape == r"\s" else "[^"
    return f"{before}{opening}{_SPACES}]{after}"

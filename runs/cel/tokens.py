"""From the text of a CEL expression to its tokens, with the values of its literals."""

import math
import re
from dataclasses import dataclass

INT64_MAX = 2**63 - 1

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*)
    | (?P<text>(?:[bB][rR]?|[rR][bB]?)?(?:\"{3}|'{3}|"|'))
    | (?P<double>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    | (?P<int>0[xX][0-9a-fA-F]+|\d+)[uU]?
    | (?P<name>[A-Za-z_]\w*)
    | (?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.ASCII,
)
#: A text literal's body up to its closing quotes, by these and by whether it is raw (knows no escapes).
_BODIES = {
    ('"""', True): re.compile(r'[\s\S]*?"{3}'),
    ('"""', False): re.compile(r'(?:[^\\]|\\[\s\S])*?"{3}'),
    ("'''", True): re.compile(r"[\s\S]*?'{3}"),
    ("'''", False): re.compile(r"(?:[^\\]|\\[\s\S])*?'{3}"),
    ('"', True): re.compile(r'[^"\n]*"'),
    ('"', False): re.compile(r'(?:[^"\\\n]|\\.)*"'),
    ("'", True): re.compile(r"[^'\n]*'"),
    ("'", False): re.compile(r"(?:[^'\\\n]|\\.)*'"),
}
_ESCAPE = re.compile(r"\\(?:([xX][0-9a-fA-F]{2})|(u[0-9a-fA-F]{4})|(U[0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    mark: mark for mark in "\\?\"'`"
}


class SyntaxFault(Exception):  # a way out of the parser, which callers turn into ExpressionInvalid
    """Why a text is no expression."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the source; literals carry their value."""

    kind: str
    text: str
    #: From 1.
    column: int
    value: object = None


def tokenise(source: str) -> list[Token]:
    """The tokens of `source`, and one of kind `end`; raises SyntaxFault."""
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise SyntaxFault(f"{source[position]!r} at character {position + 1} is not part of an expression")
        kind, column = str(match.lastgroup), position + 1
        position = match.end()
        if kind == "text":
            value, position = _text(source, match.group(), position, column)
            tokens.append(Token("literal", source[column - 1 : position], column, value))
        elif kind == "double":
            tokens.append(Token("literal", match.group(), column, _double(match.group())))
        elif kind == "int":
            tokens.append(Token("int", match.group(), column, _integer(match["int"])))
        elif kind != "space":
            tokens.append(Token(kind, match.group(), column))
    tokens.append(Token("end", "the end", len(source) + 1))
    return tokens


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise SyntaxFault(f"the number {text[:20]} is too large")
    return value


def _integer(text: str) -> int:
    # One more than fits is the magnitude of the smallest number, whose minus is a token of its own.
    value = int(text, 0) if text[:2] in {"0x", "0X"} else int(text) if len(text) < 40 else INT64_MAX + 2
    if value > INT64_MAX + 1:
        raise SyntaxFault(f"the number {text[:20]}… has more than 64 bits")
    return value


def _text(source: str, opening: str, start: int, column: int) -> tuple[str | bytes, int]:
    quotes = opening.lstrip("bBrR")
    prefix = opening.removesuffix(quotes).lower()
    match = _BODIES[quotes, "r" in prefix].match(source, start)
    if match is None:
        raise SyntaxFault(f"the text that begins at character {column} has no closing {quotes}")
    body = source[start : match.end() - len(quotes)]
    is_bytes = "b" in prefix
    text = body if "r" in prefix else _ESCAPE.sub(lambda escape: _unescaped(escape, is_bytes=is_bytes), body)
    if not is_bytes:
        return text, match.end()
    try:
        # Escapes of single bytes were kept apart as surrogates.
        return text.encode("utf-8", errors="surrogateescape"), match.end()
    except UnicodeEncodeError:
        raise SyntaxFault(f"the bytes that begin at character {column} hold half of a surrogate pair") from None


def _unescaped(escape: re.Match[str], *, is_bytes: bool) -> str:
    octet, short, long, octal, simple = escape.groups()
    if octet or octal:
        number = int(octet[1:], 16) if octet else int(octal, 8)
        if is_bytes and number > 0x7F:
            return chr(0xDC00 + number)
        return chr(number)
    if short or long:
        number = int((short or long)[1:], 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise SyntaxFault(f"{escape[0]} is no character")
        return chr(number)
    if simple not in _SIMPLE:
        raise SyntaxFault(f"\\{simple} is no escape; for a backslash write \\\\, or r'…' for a text without escapes")
    return _SIMPLE[simple]

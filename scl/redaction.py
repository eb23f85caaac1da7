"""Takes personal data out of JSON and puts it back.

Laws: putting back undoes taking out; taking out twice is taking out once; tokens that are already there stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import unquote

from agentflow.digest import Json
from scl.json_text import collect_text, map_strings
from scl.models import PiiKind, PiiMatch
from scl.pii_patterns import blank_out, find_pii
from scl.token_vault import TOKEN_PATTERN

#: Gives the token that stands for a value; asked once for each distinct value of a kind.
Tokenise = Callable[[PiiKind, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """A JSON value without the personal data that was found in it, and what that was."""

    value: Json = field(repr=False)
    #: Every occurrence; positions count from the start of the string that holds it.
    matches: tuple[PiiMatch, ...]


def find_pii_in_json(value: Json) -> tuple[PiiMatch, ...]:
    """Every occurrence of personal data in the strings of `value`.

    Names of members and numbers are not read: neither can hold a token without changing the shape of the value.
    """
    return tuple(match for text in collect_text(value).values for match in _find(text))


def redact_json(value: Json, tokenise: Tokenise) -> Redaction:
    """`value` with a token for each piece of personal data; the very same object when there is none."""
    texts = collect_text(value).values
    found = {text: matches for text in dict.fromkeys(texts) if (matches := _find(text))}
    if not found:
        return Redaction(value=value, matches=())
    distinct = {(match.kind, match.value) for matches in found.values() for match in matches}
    tokens = {key: tokenise(*key) for key in sorted(distinct)}
    redacted = {text: _with_tokens(text, matches, tokens) for text, matches in found.items()}
    return Redaction(
        value=map_strings(value, lambda text: redacted.get(text, text)),
        matches=tuple(match for text in texts for match in found.get(text, ())),
    )


def tokens_in(value: Json) -> tuple[str, ...]:
    """The distinct tokens in the strings of `value`, sorted."""
    return tuple(
        sorted({token for text in collect_text(value).values if "<" in text for token in TOKEN_PATTERN.findall(text)})
    )


def tokens_in_disguise(value: Json) -> tuple[str, ...]:
    """As `tokens_in`, also in the names of members, and as URLs and HTML write them."""
    text = collect_text(value)
    readings = {reading for each in (*text.values, *text.keys) for reading in (each, unquote(each), unescape(each))}
    return tokens_in(sorted(readings))


def restore_json(value: Json, mapping: Mapping[str, str]) -> Json:
    """`value` with each token that `mapping` knows replaced by its value; other tokens stay.

    A restored value is not read again, so that no value can pull in another one.
    """
    if not mapping:
        return value
    return map_strings(value, lambda text: TOKEN_PATTERN.sub(lambda token: mapping.get(token[0], token[0]), text))


def _find(text: str) -> tuple[PiiMatch, ...]:
    """The personal data in `text`, with the tokens in it out of sight."""
    if "<" not in text:
        return find_pii(text)
    return find_pii(blank_out(text, (token.span() for token in TOKEN_PATTERN.finditer(text))))


def _with_tokens(text: str, matches: tuple[PiiMatch, ...], tokens: Mapping[tuple[PiiKind, str], str]) -> str:
    pieces: list[str] = []
    position = 0
    for match in matches:
        pieces += (text[position : match.start], tokens[match.kind, match.value])
        position = match.end
    return "".join((*pieces, text[position:]))

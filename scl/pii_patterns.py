"""Finds personal data in text: patterns first, then checksums and rules that a pattern cannot state.

Three properties matter to redaction and shape this file:

- Linear time. Every pattern is bounded, and a scan never looks back over more than a candidate's length.
- A pattern opens with what it looks for and looks back afterwards: the engine skips to a literal or a set of
  characters quickly, but tries a leading look-behind at every position (four times slower on prose).
- Hiding a match never uncovers another one. A found span is blanked out with OPAQUE before the next
  recogniser reads the text, OPAQUE counts as a letter next to a candidate, and the rules that a candidate's
  left neighbour follows (`_NOT_CONTINUING`) mirror those of its right neighbour (`_NOT_CONTINUED`).
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from scl.models import PiiKind, PiiMatch
from scl.pii_checksums import IBAN_LENGTHS, is_card_number, is_iban

#: Stands for text that is no longer to be read; a private-use character, which no pattern matches.
OPAQUE = "\ue000"

Span = tuple[int, int]

#: Behind a candidate's first character: what stands before that is no letter or digit.
_START = f"(?<![0-9A-Za-z{OPAQUE}].)"
_END = f"(?![0-9A-Za-z{OPAQUE}])"
#: Not in the middle of `id-123…` or `1.123…`; a bracket or `+` may follow anything but a letter or digit.
_NOT_CONTINUING = r"(?<![0-9A-Za-z]-.)(?<![0-9][./].)"
_NOT_CONTINUED = r"(?![-./][0-9])"

#: How far a word that explains a number (`tel`, `ssn`, `version`) may stand before it.
_CUE_CHARS = 24


def find_pii(text: str) -> tuple[PiiMatch, ...]:
    """The personal data in `text`, in order and without overlaps.

    Where candidates overlap, the kind that is the surest wins (the order of the recognisers below), then the leftmost.
    Conservative on purpose: plain integers, dates, versions and ids are not taken for phone numbers.
    """
    if _HINT.search(text) is None:
        return ()
    matches, rest = _recognise(_RECOGNISERS, text)
    if _NINE_DIGITS.search(rest) is not None:
        numbers, _ = _recognise(_NUMBER_RECOGNISERS, rest)
        matches += numbers
    return tuple(sorted(matches, key=lambda match: match.start))


def _recognise(recognisers: Iterable["_Recogniser"], text: str) -> tuple[list[PiiMatch], str]:
    """What `recognisers` find, one after the other, and `text` without it."""
    matches: list[PiiMatch] = []
    for kind, recognise in recognisers:
        spans = list(recognise(text))
        if spans:
            matches.extend(PiiMatch(kind=kind, start=start, end=end, value=text[start:end]) for start, end in spans)
            text = blank_out(text, spans)
    return matches, text


def blank_out(text: str, spans: Iterable[Span]) -> str:
    """`text`, of the same length, with OPAQUE in `spans` (in order, without overlaps)."""
    pieces: list[str] = []
    position = 0
    for start, end in spans:
        pieces += (text[position:start], OPAQUE * (end - start))
        position = end
    return "".join((*pieces, text[position:]))


_HINT = re.compile("[0-9@]")
_DIGIT = re.compile("[0-9]")
#: The least that a card, a social security number or a phone has.
_NINE_DIGITS = re.compile("[0-9](?:[ ()./-]{0,2}[0-9]){8}")

# --- e-mail: from each `@` outwards, so that text without one costs nothing (RFC 5321, 4.5.3.1 for lengths) ---

_LOCAL_PART_CHARS = 64
_LOCAL_PART_BACKWARDS = re.compile(r"[\w.+%'-]+")
_DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,8}(?:xn--[a-z0-9-]{2,}|[^\W\d_]{2,})")
#: `icon@2x.png` is a file for dense screens.
_PIXEL_DENSITY = re.compile(r"[1-9]x\.")


def _emails(text: str) -> Iterator[Span]:
    position = 0
    at = text.find("@")
    while at >= 0:
        start = _local_part_start(text, position, at)
        domain = _DOMAIN.match(text, at + 1) if start < at else None
        if domain is not None and not _PIXEL_DENSITY.match(text, at + 1):
            yield start, domain.end()
            position = domain.end()
        at = text.find("@", max(at + 1, position))


def _local_part_start(text: str, earliest: int, at: int) -> int:
    """Where the local part that ends before `at` begins; `at` itself when there is none."""
    before = text[max(earliest, at - _LOCAL_PART_CHARS) : at]
    backwards = _LOCAL_PART_BACKWARDS.match(before[::-1])
    if backwards is None or before.endswith("."):
        return at
    local_part = backwards[0][::-1].rpartition("..")[2].lstrip(".'-")
    return at - len(local_part)


# --- IBAN: the country fixes the length; printed in groups of four or without separators ---

#: Found by its digits, which are rarer than letters.
_IBAN_DIGITS = re.compile(f"[0-9](?<=[A-Za-z]{{2}}.)(?<![0-9A-Za-z{OPAQUE}]...)[0-9]")
_IBAN_BODIES = {
    length: re.compile(
        rf"(?:[ -]?[0-9A-Za-z]{{4}}){{{(length - 4) // 4}}}"
        + (rf"[ -]?[0-9A-Za-z]{{{length % 4}}}" if length % 4 else "")
        + _END
    )
    for length in set(IBAN_LENGTHS.values())
}


def _ibans(text: str) -> Iterator[Span]:
    position = 0
    for check_digits in _IBAN_DIGITS.finditer(text, 2):
        start = check_digits.start() - 2
        length = IBAN_LENGTHS.get(text[start : start + 2].upper()) if start >= position else None
        body = _IBAN_BODIES[length].match(text, start + 4) if length is not None else None
        if body is not None and is_iban(text[start : start + 4] + _without_separators(body[0])):
            yield start, body.end()
            position = body.end()


# --- cards: the ways in which 13 to 19 digits are printed, longest first ---

_CARD_START = re.compile(rf"[2-6]{_START}(?<![0-9]\..)[0-9]{{3}}")
_CARD_FORMS = tuple(
    re.compile(form + _END + r"(?!\.[0-9])")
    for form in (
        "[0-9]{13,19}",
        "[0-9]{4}(?:[ .-][0-9]{4}){3}[ .-][0-9]{1,3}",
        "[0-9]{4}(?:[ .-][0-9]{4}){3}",
        "[0-9]{4}[ .-][0-9]{6}[ .-][0-9]{4,5}",
        "[0-9]{4}(?:[ .-][0-9]{3}){3}",
        "[0-9]{6}[ .-][0-9]{13}",
    )
)


def _cards(text: str) -> Iterator[Span]:
    position = 0
    for start in _CARD_START.finditer(text):
        if start.start() < position:
            continue
        candidates = (form.match(text, start.start()) for form in _CARD_FORMS)
        card = next((c for c in candidates if c is not None and is_card_number(_without_separators(c[0]))), None)
        if card is not None:
            yield card.span()
            position = card.end()


# --- IP addresses: versions and sections look like IPv4; slices and C++ names look like IPv6 ---

#: As long as it goes: a part of a run is no address.
_IPV6_RUN = re.compile(f"[0-9A-Fa-f:](?<![0-9A-Za-z:.{OPAQUE}].)[0-9A-Fa-f:.]{{2,44}}+(?![0-9A-Za-z:.{OPAQUE}])")
#: In every address that does not leave zeros out.
_FOUR_GROUPS = re.compile(":(?:[0-9A-Fa-f]{1,4}:){4}")
_LONG_GROUP = re.compile("[0-9A-Fa-f]{3}")
_IPV4_RUN = re.compile(rf"[0-9]{_START}(?<![0-9]\..)[0-9]{{0,2}}(?:\.[0-9]{{1,3}}){{3}}{_END}(?!\.[0-9])")
_VERSION_CUE = re.compile(r"(?:\bv|\bver|version|release|build|section|chapter|clause|§)[.:]?\s*\Z", re.IGNORECASE)


def _ipv6_addresses(text: str) -> Iterator[Span]:
    if "::" not in text and _FOUR_GROUPS.search(text) is None:
        return
    for run in _IPV6_RUN.finditer(text):
        candidate = run[0].rstrip(".")
        if candidate.endswith(":") and not candidate.endswith("::"):
            candidate = candidate[:-1]
        if ":" in candidate and _LONG_GROUP.search(candidate) and _DIGIT.search(candidate) and _is_address(candidate):
            yield run.start(), run.start() + len(candidate)


def _ipv4_addresses(text: str) -> Iterator[Span]:
    if text.count(".") < 3:
        return
    for run in _IPV4_RUN.finditer(text):
        if _is_address(run[0]) and not _has_cue(_VERSION_CUE, text, run.start()):
            yield run.span()


def _is_address(candidate: str) -> bool:
    """Whether `candidate` is an address that could be someone's: not loopback, `0.0.0.0`, multicast or a netmask."""
    try:
        address = ipaddress.ip_address(candidate)
    except ValueError:
        return False
    is_netmask = address.version == 4 and address.is_reserved
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or is_netmask)


# --- US social security numbers (SSA POMS RM 10201.030: area, group and serial that are never given) ---

_SSN = re.compile(
    rf"[0-8]{_START}{_NOT_CONTINUING}[0-9]{{2}}(?<!000|666)([ -])(?!00)[0-9]{{2}}\1(?!0000)[0-9]{{4}}"
    rf"{_END}{_NOT_CONTINUED}"
)
_SSN_CUE = re.compile(r"ssn|social security|soc\. ?sec", re.IGNORECASE)


def _ssns(text: str) -> Iterator[Span]:
    for match in _SSN.finditer(text):
        if match[1] == "-" or _has_cue(_SSN_CUE, text, match.start()):
            yield match.span()


# --- phones: forms that are written for people; a row of digits alone is not one ---

_INTERNATIONAL = re.compile(
    rf"\+(?<![0-9+{OPAQUE}].)"
    r"(?:1[ ./-]?\(?[2-9][0-9]{2}\)?[ ./-]{0,2}[0-9]{3}[ .-]?[0-9]{4}|[2-9](?:[ ./()-]{0,2}[0-9]){8,14})"
    rf"{_END}{_NOT_CONTINUED}"
)
_DOUBLE_ZERO = re.compile(
    rf"0{_START}{_NOT_CONTINUING}0[1-9][0-9]{{0,2}}(?: ?\(0\))?"
    rf"(?=[ ./-])(?:[ ./-]?[0-9]){{8,13}}{_END}{_NOT_CONTINUED}"
)
_AREA_IN_BRACKETS = re.compile(
    rf"\({_START}(?:[2-9][0-9]{{2}}\)[ -]?[0-9]{{3}}[ .-][0-9]{{4}}"
    rf"|0[1-9][0-9]{{0,3}}\)[ /-]?[0-9]{{3}}(?:[ -]?[0-9]){{3,7}}){_END}{_NOT_CONTINUED}"
)
_NORTH_AMERICAN = re.compile(
    rf"[1-9]{_START}{_NOT_CONTINUING}(?:(?<=1)[ .-][2-9][0-9]{{2}}|(?<!1)[0-9]{{2}})"
    rf"([ .-])[0-9]{{3}}\1[0-9]{{4}}{_END}{_NOT_CONTINUED}"
)
_TRUNK_ZERO = re.compile(
    rf"0{_START}{_NOT_CONTINUING}[1-9](?:([ .-])[0-9]{{2}}(?:\1[0-9]{{2}}){{3}}"
    r"|([ -])[0-9]{4}\2[0-9]{4}"
    rf"|[0-9]{{1,3}}[ /-][0-9]{{3}}(?:[ -]?[0-9]){{3,6}}){_END}{_NOT_CONTINUED}"
)
_PHONE_CUE = re.compile(r"tel|phone|mobile|cell|fax|call|contact|whatsapp", re.IGNORECASE)


def _north_american_phones(text: str) -> Iterator[Span]:
    for match in _NORTH_AMERICAN.finditer(text):
        # Three columns of a table look the same when only spaces part them.
        if match[1] != " " or match[0].startswith("1 ") or _has_cue(_PHONE_CUE, text, match.start()):
            yield match.span()


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    for match in pattern.finditer(text):
        yield match.span()


def _has_cue(cue: re.Pattern[str], text: str, start: int) -> bool:
    """Whether the words before `start` hold `cue`; they end where something was taken out, however long that was."""
    words = text[max(0, start - _CUE_CHARS) : start].rpartition(OPAQUE)[2]
    return cue.search(words) is not None


def _without_separators(text: str) -> str:
    return text.translate(_SEPARATORS)


_SEPARATORS = str.maketrans("", "", " .-")

_Recogniser = tuple[PiiKind, Callable[[str], Iterable[Span]]]

#: The surest first: what one recogniser has taken, the next ones do not see.
_RECOGNISERS: tuple[_Recogniser, ...] = (
    (PiiKind.EMAIL, _emails),
    (PiiKind.IBAN, _ibans),
    (PiiKind.IP, _ipv6_addresses),
    (PiiKind.IP, _ipv4_addresses),
)
#: After the others, and only for text that has enough digits close together.
_NUMBER_RECOGNISERS: tuple[_Recogniser, ...] = (
    (PiiKind.CARD, _cards),
    (PiiKind.SSN, _ssns),
    (PiiKind.PHONE, partial(_spans, _INTERNATIONAL)),
    (PiiKind.PHONE, partial(_spans, _DOUBLE_ZERO)),
    (PiiKind.PHONE, partial(_spans, _AREA_IN_BRACKETS)),
    (PiiKind.PHONE, _north_american_phones),
    (PiiKind.PHONE, partial(_spans, _TRUNK_ZERO)),
)

"""Functions of texts and bytes: CEL's own, and cel-go's `strings` and `encoders`."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from agentflow.linear_pattern import LinearPattern, PatternRefused
from agentflow.meter import Meter
from runs.cel.function import Function, items, text, whole
from runs.cel.operators import equal, is_in
from runs.cel.times import duration_text, timestamp_text
from runs.cel.values import Fault, described

#: A pattern takes up to about a millisecond to compile.
_COMPILING_STEPS = 1_000
_ASCII_UPPER = {ord(letter): ord(letter.upper()) for letter in "abcdefghijklmnopqrstuvwxyz"}
_ASCII_LOWER = {upper: lower for lower, upper in _ASCII_UPPER.items()}


def size(meter: Meter, value: Any) -> int:
    """Characters of a text, bytes, items of a list, entries of a map."""
    meter.spend()
    if not isinstance(value, str | bytes | list | tuple | Mapping):
        raise Fault(f"size() needs a text, a list or a map, not {described(value)}")
    return len(value)


def as_text(meter: Meter, value: Any) -> str:
    """A value as a text, whole numbers without a fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        meter.make(len(value))
        return value.decode("utf-8", errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, datetime):
        return timestamp_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    raise Fault(f"string() needs a text, a number, a boolean or a time, not {described(value)}")


def number_text(value: float) -> str:
    """30 and 30.0 as `30`."""
    if abs(value) < 1e21 and value == int(value):
        return str(int(value))
    return repr(value)


def matches(meter: Meter, value: Any, pattern: Any) -> bool:
    """Whether a pattern (RE2) that the run has made is found in a text; one of the document's is compiled before."""
    meter.spend(_COMPILING_STEPS)
    try:
        # Not into the cache, which documents share.
        return is_found(meter, value, LinearPattern(text(pattern, "matches")))
    except PatternRefused:
        raise Fault("the pattern that matches() was given cannot be used") from None


def is_found(meter: Meter, value: Any, pattern: LinearPattern) -> bool:
    """Whether a compiled pattern is found in a text."""
    meter.spend(pattern.steps(text(value, "matches")))
    return pattern.is_found_in(value)


def replace(meter: Meter, value: Any, old: Any, new: Any, limit: Any = -1) -> str:
    """Occurrences replaced, the first `limit` of them when it is given."""
    whole_text, old, new = text(value, "replace"), text(old, "replace"), text(new, "replace")
    meter.read(len(whole_text) + len(old))
    places = whole_text.count(old)
    count = whole(limit, "replace")
    done = places if count < 0 else min(count, places)
    meter.make(len(whole_text) + done * max(0, len(new) - len(old)))
    return whole_text.replace(old, new, count)


def split(meter: Meter, value: Any, separator: Any, limit: Any = -1) -> list[str]:
    """The parts between separators, the rest in the last of `limit` parts when it is given."""
    whole_text, mark, most = text(value, "split"), text(separator, "split"), whole(limit, "split")
    meter.make(2 * len(whole_text) + 1)
    if most == 0:
        return []
    if mark:
        return whole_text.split(mark, most - 1 if most > 0 else -1)
    letters = list(whole_text)
    return letters if most < 0 or len(letters) <= most else [*letters[: most - 1], whole_text[most - 1 :]]


def join(meter: Meter, value: Any, separator: Any = "") -> str:
    """The texts of a list, with the separator between."""
    parts, mark = items(value, "join", meter), text(separator, "join")
    for part in parts:
        text(part, "join")
    meter.make(sum(map(len, parts)) + len(mark) * len(parts))
    return mark.join(parts)


def substring(meter: Meter, value: Any, start: Any, end: Any = None) -> str:
    """The characters from `start` up to `end`."""
    whole_text, first = text(value, "substring"), whole(start, "substring")
    last = len(whole_text) if end is None else whole(end, "substring")
    if not 0 <= first <= last <= len(whole_text):
        raise Fault(f"substring({first}, {last}) is outside of a text of {len(whole_text)} characters")
    meter.make(last - first)
    return whole_text[first:last]


def char_at(_meter: Meter, value: Any, index: Any) -> str:
    """One character; past the end the empty text."""
    whole_text, place = text(value, "charAt"), whole(index, "charAt")
    if not 0 <= place <= len(whole_text):
        raise Fault(f"charAt({place}) is outside of a text of {len(whole_text)} characters")
    return whole_text[place : place + 1]


def index_of(meter: Meter, value: Any, part: Any, start: Any = 0) -> int:
    """Where a text or an item stands first, -1 where it does not."""
    first = whole(start, "indexOf")
    if first < 0:
        raise Fault("indexOf() begins at a position from 0 on")
    if isinstance(value, list):
        meter.spend(1 + len(value))
        return next((place for place, item in enumerate(value) if place >= first and equal(meter, item, part)), -1)
    meter.read(len(text(value, "indexOf")))
    return str(value).find(text(part, "indexOf"), first)


def last_index_of(meter: Meter, value: Any, part: Any) -> int:
    """Where a text stands last, -1 where it does not."""
    whole_text, wanted = text(value, "lastIndexOf"), text(part, "lastIndexOf")
    meter.make(2 * len(whole_text))
    # Backwards by `find`: `rfind` takes time by both lengths together (CPython's fastsearch has no two-way form of it).
    place = whole_text[::-1].find(wanted[::-1])
    return -1 if place < 0 else len(whole_text) - len(wanted) - place


def quote(meter: Meter, value: Any) -> str:
    """A text in quotes, with escapes."""
    meter.make(2 * len(text(value, "strings.quote")))
    return json.dumps(value, ensure_ascii=False)


def encode(meter: Meter, value: Any) -> str:
    """Bytes, or a text's UTF-8, in base64."""
    content = value.encode("utf-8", errors="replace") if isinstance(value, str) else value
    if not isinstance(content, bytes):
        raise Fault(f"base64.encode() needs bytes or a text, not {described(value)}")
    meter.make(2 * len(content))
    return base64.b64encode(content).decode("ascii")


def decode(meter: Meter, value: Any) -> bytes:
    """The bytes of a base64 text."""
    meter.make(len(text(value, "base64.decode")))
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Fault("base64.decode() needs a text in base64") from None


def _found(name: str, *, method: str) -> Function:
    def apply(meter: Meter, value: Any, part: Any) -> bool:
        if name == "contains" and isinstance(value, list):
            return is_in(meter, part, value)
        meter.read(len(text(value, name)))
        found: bool = getattr(value, method)(text(part, name))
        return found

    return Function(name=name, usage=f"text.{name}(part)", apply=apply, least=2, most=2)


def _changed(name: str, method: str, *arguments: Any) -> Function:
    def apply(meter: Meter, value: Any) -> str:
        meter.make(len(text(value, name)))
        changed: str = getattr(value, method)(*arguments)
        return changed

    return Function(name=name, usage=f"text.{name}()", apply=apply)


def _reverse(meter: Meter, value: Any) -> Any:
    if not isinstance(value, str | list):
        raise Fault(f"reverse() needs a text or a list, not {described(value)}")
    meter.make(len(value))
    return value[::-1]


FUNCTIONS: tuple[Function, ...] = (
    Function(name="size", usage="size(x)", apply=size, style="both"),
    Function(name="string", usage="string(x)", apply=as_text, style="global"),
    _found("contains", method="__contains__"),
    _found("startsWith", method="startswith"),
    _found("endsWith", method="endswith"),
    Function(name="matches", usage="text.matches(pattern)", apply=matches, least=2, most=2, style="both"),
    _changed("lowerAscii", "translate", _ASCII_LOWER),
    _changed("upperAscii", "translate", _ASCII_UPPER),
    _changed("trim", "strip"),
    Function(name="replace", usage="text.replace(old, new[, limit])", apply=replace, least=3, most=4),
    Function(name="split", usage="text.split(separator[, limit])", apply=split, least=2, most=3),
    Function(name="join", usage="list.join([separator])", apply=join, least=1, most=2),
    Function(name="substring", usage="text.substring(start[, end])", apply=substring, least=2, most=3),
    Function(name="charAt", usage="text.charAt(index)", apply=char_at, least=2, most=2),
    Function(name="indexOf", usage="x.indexOf(part[, start])", apply=index_of, least=2, most=3),
    Function(name="lastIndexOf", usage="text.lastIndexOf(part)", apply=last_index_of, least=2, most=2),
    Function(name="reverse", usage="x.reverse()", apply=_reverse),
    Function(name="strings.quote", usage="strings.quote(text)", apply=quote, style="global"),
    Function(name="base64.encode", usage="base64.encode(x)", apply=encode, style="global"),
    Function(name="base64.decode", usage="base64.decode(text)", apply=decode, style="global"),
)

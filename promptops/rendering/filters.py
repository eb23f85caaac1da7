"""The filters that a prompt may use: every one written or chosen here, bounded, and blind to Python objects.

They read like Jinja's own, with these differences: values become text as they do in a prompt (JSON, not Python),
`default` also stands in for null, `truncate` never exceeds its length, and none looks up attributes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from jinja2.exceptions import TemplateRuntimeError
from jinja2.filters import do_title
from jinja2.runtime import StrictUndefined, Undefined

from promptops.rendering.plain_data import is_number_fit, json_of, text_of
from promptops.rendering.render_limits import MAX_TEXT_CHARACTERS, check_text_length

Filter: TypeAlias = Callable[..., Any]

_MAX_JSON_INDENT = 4
_MAX_INDENT = 64
_MAX_PRECISION = 15
#: Characters of a text that is read as a number; Python reads no whole number of more digits.
_LONGEST_NUMBER = 4_300


def _upper(value: Any) -> str:
    return text_of(value).upper()


def _lower(value: Any) -> str:
    return text_of(value).lower()


def _title(value: Any) -> str:
    return do_title(text_of(value))


def _trim(value: Any, chars: str | None = None) -> str:
    text = text_of(value)
    if chars is None:
        return text.strip()
    if not isinstance(chars, str):
        raise TemplateRuntimeError("`trim` needs the characters to take away as a text")
    # `str.strip` compares each character with each of `chars`.
    unwanted = frozenset(chars)
    start = next((place for place, character in enumerate(text) if character not in unwanted), len(text))
    after = (len(text) - place for place, character in enumerate(reversed(text)) if character not in unwanted)
    return text[start : next(after, start)]


def _string(value: Any) -> str:
    return text_of(value)


def _length(value: Any) -> int:
    if not isinstance(value, str | list | tuple | dict):
        raise TemplateRuntimeError("`length` needs a text, a list or a mapping")
    return len(value)


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    if isinstance(value, Undefined) or value is None or (boolean and not value):
        return default_value
    return value


def _tojson(value: Any, indent: int | None = None) -> str:
    if indent is None:
        return json_of(value)
    width = _between(indent, 0, _MAX_JSON_INDENT, "`tojson` indent")
    check_text_length(_margin_characters(value, width))
    return json_of(value, indent=width)


def _indent(value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    lines = text_of(value).split("\n")
    margin = " " * _between(width, 0, _MAX_INDENT, "`indent` width")
    check_text_length(sum(map(len, lines)) + len(lines) * (len(margin) + 1))
    indented = [margin + line if blank or line.strip() else line for line in lines[1:]]
    return "\n".join([margin + lines[0] if first else lines[0], *indented])


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old_text, new_text = text_of(value), text_of(old), text_of(new)
    if not old_text:
        raise TemplateRuntimeError("`replace` needs a text to look for")
    times = -1 if count is None else count
    found = text.count(old_text)
    check_text_length(len(text) + (found if times < 0 else min(found, times)) * len(new_text))
    return text.replace(old_text, new_text, times)


def _join(value: Any, d: Any = "") -> str:
    separator = text_of(d)
    parts = [text_of(item) for item in _as_list(value, "join")]
    check_text_length(sum(map(len, parts)) + len(parts) * len(separator))
    return separator.join(parts)


def _truncate(value: Any, length: int = 255, killwords: bool = False, end: str = "...") -> str:
    text = text_of(value)
    if len(text) <= _between(length, 0, MAX_TEXT_CHARACTERS, "`truncate` length"):
        return text
    kept = text[: max(0, length - len(end))]
    whole_words = kept if killwords else kept.rsplit(" ", 1)[0]
    return (whole_words + end)[:length]


def _first(value: Any) -> Any:
    items = _as_list_or_text(value, "first")
    return items[0] if items else StrictUndefined("`first` of nothing has no value")


def _last(value: Any) -> Any:
    items = _as_list_or_text(value, "last")
    return items[-1] if items else StrictUndefined("`last` of nothing has no value")


def _sort(value: Any, reverse: bool = False, case_sensitive: bool = False) -> list[Any]:
    items = _as_list(value, "sort")
    if all(isinstance(item, str) for item in items):
        return sorted(items, key=None if case_sensitive else str.lower, reverse=bool(reverse))
    if all(isinstance(item, int | float) for item in items):
        return sorted(items, reverse=bool(reverse))
    raise TemplateRuntimeError("`sort` needs a list of texts or a list of numbers")


def _round(value: Any, precision: int = 0, method: str = "common") -> float:
    number = _as_number(value, "round")
    digits = _between(precision, -_MAX_PRECISION, _MAX_PRECISION, "`round` precision")
    if method == "common":
        return float(round(number, digits))
    if method not in {"ceil", "floor"}:
        raise TemplateRuntimeError("`round` rounds 'common', 'ceil' or 'floor'")
    rounding = math.ceil if method == "ceil" else math.floor
    return float(rounding(number * 10.0**digits) / 10.0**digits)


def _int(value: Any, default: Any = 0) -> Any:
    number = _parsed(value, int)
    return default if number is None else int(number)


def _float(value: Any, default: Any = 0.0) -> Any:
    number = _parsed(value, float)
    return default if number is None else float(number)


#: Everything that may follow a `|`.
FILTERS: Mapping[str, Filter] = {
    "default": _default,
    "first": _first,
    "float": _float,
    "indent": _indent,
    "int": _int,
    "join": _join,
    "last": _last,
    "length": _length,
    "lower": _lower,
    "replace": _replace,
    "round": _round,
    "sort": _sort,
    "string": _string,
    "title": _title,
    "tojson": _tojson,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _upper,
}


def _parsed(value: Any, preferred: type[int] | type[float]) -> int | float | None:
    """The number in a text or a number; None when there is none that is fit."""
    if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > _LONGEST_NUMBER):
        return None
    for convert in (preferred, float):
        try:
            number = convert(value)
        except (ValueError, OverflowError):
            continue
        if is_number_fit(number):
            return number
    return None


def _margin_characters(value: Any, width: int) -> int:
    """The white space that stands before the values in `value`, when it is written over several lines."""
    characters, level, depth = 0, [value], 0
    while level:
        characters += len(level) * (1 + depth * width)
        level = [
            item
            for part in level
            if isinstance(part, list | tuple | dict)
            for item in (part.values() if isinstance(part, dict) else part)
        ]
        depth += 1
    return characters


def _as_number(value: Any, filter_name: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TemplateRuntimeError(f"`{filter_name}` needs a number")
    return value


def _as_list(value: Any, filter_name: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TemplateRuntimeError(f"`{filter_name}` needs a list")
    return list(value)


def _as_list_or_text(value: Any, filter_name: str) -> list[Any] | str:
    return value if isinstance(value, str) else _as_list(value, filter_name)


def _between(value: Any, least: int, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise TemplateRuntimeError(f"{what} must be a whole number from {least} to {most}")
    return value

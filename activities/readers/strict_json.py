"""JSON as a stranger wrote it, read so that every later step can hold it.

Python's own reader takes more than JSON: NaN, numbers that become infinite, halves of surrogate pairs, any depth.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

MAX_DEPTH = 200
#: An escaped backslash, a whole pair, half of one, or NUL: only the latter two are replaced.
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000)"
)


class NotJson(ValueError):
    """The message says why and where, and quotes nothing."""


def read_json(text: str) -> Any:
    """The value, with U+FFFD for NUL and for half of a surrogate pair; raises NotJson."""
    try:
        value = json.loads(_ESCAPES.sub(_storable, text), parse_constant=_refuse, parse_float=_finite)
    except NotJson:
        raise
    except json.JSONDecodeError as error:
        reason = "there is nothing" if not text.strip() else f"{error.msg.lower()}, line {error.lineno}"
        if error.msg == "Extra data":
            reason = f"a second value begins in line {error.lineno}; lines of JSON are read by document.json_lines"
        raise NotJson(reason) from None
    except RecursionError:
        raise NotJson(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise NotJson("a number has more than 4,300 digits") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value):
        raise NotJson(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def _storable(found: re.Match[str]) -> str:
    escape = found.group()
    return escape if len(escape) != 6 else "\\ufffd"


def _refuse(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJson("a number is too large for a double")
    return number


def _is_deeper(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for part in level:
            if isinstance(part, Mapping):
                below.extend(part.values())
            elif isinstance(part, list):
                below.extend(part)
        if not below:
            return False
        level = below
    return any(isinstance(part, Mapping | list) for part in level)

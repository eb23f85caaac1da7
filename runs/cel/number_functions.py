"""Functions of numbers, types and truth: CEL's conversions, and cel-go's `math`."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentflow.meter import Meter
from runs.cel.function import Function, items, number, whole
from runs.cel.operators import checked, compare
from runs.cel.values import Fault, described, is_number, type_of


def as_int(meter: Meter, value: Any) -> int:
    """A whole number from a number (cut off towards zero), a text of digits, or a timestamp (seconds since 1970)."""
    meter.spend()
    if is_number(value):
        return int(checked(math.trunc(checked(value))))
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str):
        return int(checked(_parsed(int, value, "int", "'42'")))
    raise Fault(f"int() needs a number or a text, not {described(value)}")


def as_uint(meter: Meter, value: Any) -> int:
    """As `int`, and not negative."""
    found = as_int(meter, value)
    if found < 0:
        raise Fault("uint() needs a number that is not negative")
    return found


def as_double(meter: Meter, value: Any) -> float:
    """A number from a number or a text."""
    meter.spend()
    if is_number(value):
        return float(checked(value))
    if isinstance(value, str):
        return float(checked(_parsed(float, value, "double", "'4.2'")))
    raise Fault(f"double() needs a number or a text, not {described(value)}")


def as_bool(_meter: Meter, value: Any) -> bool:
    """A boolean from a boolean, or from the texts `true` and `false`."""
    if isinstance(value, bool):
        return value
    if value in ("true", "True", "TRUE", "t", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise Fault(f"bool() needs a boolean or the text 'true' or 'false', not another {described(value)[2:]}")


def as_bytes(meter: Meter, value: Any) -> bytes:
    """The UTF-8 of a text."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Fault(f"bytes() needs a text, not {described(value)}")
    meter.make(len(value))
    return value.encode("utf-8", errors="replace")


def _parsed(kind: Callable[[str], Any], value: str, function: str, example: str) -> Any:
    try:
        if len(value) <= 64 and "_" not in value:
            return kind(value)
    except ValueError:
        pass
    raise Fault(f"{function}() needs a text that is a number, such as {example}")


def _extreme(name: str, wanted: int) -> Function:
    def apply(meter: Meter, *values: Any) -> Any:
        given = items(values[0], f"math.{name}", meter) if isinstance(values[0], list) else list(values)
        if not given:
            raise Fault(f"math.{name}() needs at least one number")
        best = number(given[0], f"math.{name}")
        meter.spend(len(given))
        for value in given[1:]:
            if compare(meter, number(value, f"math.{name}"), best) == wanted:
                best = value
        return best

    return Function(
        name=f"math.{name}", usage=f"math.{name}(a, b, …)", apply=apply, least=1, most=1_000, style="global"
    )


def _math(name: str, compute: Callable[[float], Any]) -> Function:
    def apply(_meter: Meter, value: Any) -> Any:
        return checked(compute(number(value, f"math.{name}")))

    return Function(name=f"math.{name}", usage=f"math.{name}(x)", apply=apply, style="global")


def _rounded(value: float) -> int:
    """Halves away from zero, as cel-go does."""
    below = math.floor(abs(value))
    return (below + (abs(value) - below >= 0.5)) * (-1 if value < 0 else 1)


def _root(value: float) -> float:
    if value < 0:
        raise Fault("math.sqrt() needs a number that is not negative")
    return math.sqrt(value)


def _bits(name: str, compute: Callable[[int, int], int]) -> Function:
    def apply(_meter: Meter, left: Any, right: Any) -> int:
        one, other = (checked(whole(value, f"math.{name}")) for value in (left, right))
        if not name.startswith("bitShift"):
            return compute(one, other)
        if other < 0:
            raise Fault(f"math.{name}() needs a shift that is not negative")
        return compute(one, min(other, 64))

    return Function(name=f"math.{name}", usage=f"math.{name}(a, b)", apply=apply, least=2, most=2, style="global")


def _wrapped(value: int) -> int:
    """The low 64 bits, with their sign."""
    low = value & (2**64 - 1)
    return low - 2**64 if low >= 2**63 else low


FUNCTIONS: tuple[Function, ...] = (
    Function(name="int", usage="int(x)", apply=as_int, style="global"),
    Function(name="uint", usage="uint(x)", apply=as_uint, style="global"),
    Function(name="double", usage="double(x)", apply=as_double, style="global"),
    Function(name="bool", usage="bool(x)", apply=as_bool, style="global"),
    Function(name="bytes", usage="bytes(text)", apply=as_bytes, style="global"),
    Function(name="dyn", usage="dyn(x)", apply=lambda _meter, value: value, style="global"),
    Function(name="type", usage="type(x)", apply=lambda _meter, value: type_of(value), style="global"),
    _extreme("greatest", 1),
    _extreme("least", -1),
    _math("ceil", math.ceil),
    _math("floor", math.floor),
    _math("round", _rounded),
    _math("trunc", math.trunc),
    _math("abs", abs),
    _math("sign", lambda value: int(value > 0) - int(value < 0)),
    _math("sqrt", _root),
    _bits("bitAnd", lambda left, right: left & right),
    _bits("bitOr", lambda left, right: left | right),
    _bits("bitXor", lambda left, right: left ^ right),
    _bits("bitShiftLeft", lambda left, shift: _wrapped(left << shift)),
    _bits("bitShiftRight", lambda left, shift: (left & (2**64 - 1)) >> shift),
)

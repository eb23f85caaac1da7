"""CEL's operators over JSON's one kind of number (langdef.md, "Arithmetic", "Equality", "Ordering").

Beyond the language definition whole numbers and fractions mix, and `/` of two whole numbers is exact: 7 / 2 is 3.5.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from agentflow.meter import Meter
from runs.cel.tokens import INT64_MAX
from runs.cel.values import Fault, described, is_number

Operator = Callable[[Meter, Any, Any], Any]


def add(meter: Meter, left: Any, right: Any) -> Any:
    """Numbers, texts, bytes, lists, times."""
    if is_number(left) and is_number(right):
        return checked(left + right)
    if type(left) is type(right) and isinstance(left, str | bytes | list):
        meter.make(len(left) + len(right))
        return left + right
    if isinstance(left, timedelta) and isinstance(right, timedelta | datetime):
        return timely(lambda: right + left)
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return timely(lambda: left + right)
    hint = "; write string(x) to join it to a text" if str in (type(left), type(right)) else ""
    raise Fault(f"{described(left)} + {described(right)} has no meaning{hint}")


def subtract(_meter: Meter, left: Any, right: Any) -> Any:
    """Numbers and times."""
    if is_number(left) and is_number(right):
        return checked(left - right)
    if isinstance(right, timedelta) and isinstance(left, timedelta | datetime):
        return timely(lambda: left - right)
    if isinstance(left, datetime) and isinstance(right, datetime):
        return left - right
    raise Fault(f"{described(left)} - {described(right)} has no meaning")


def multiply(_meter: Meter, left: Any, right: Any) -> Any:
    """Numbers."""
    numbers("*", left, right)
    return checked(left * right)


def divide(_meter: Meter, left: Any, right: Any) -> Any:
    """Numbers; whole numbers that divide without a rest give a whole number."""
    numbers("/", left, right)
    if right == 0:
        raise Fault("it divides by zero")
    if isinstance(left, int) and isinstance(right, int) and left % right == 0:
        return checked(left // right)
    return checked(left / right)


def divide_truncating(meter: Meter, left: Any, right: Any) -> Any:
    """As `divide`, but whole numbers give a whole number, cut off towards zero: plans of the first dialect."""
    if isinstance(left, int) and isinstance(right, int) and is_number(left) and is_number(right) and right != 0:
        quotient = abs(left) // abs(right)
        return checked(quotient if (left < 0) == (right < 0) else -quotient)
    return divide(meter, left, right)


def modulo(_meter: Meter, left: Any, right: Any) -> Any:
    """What is left over, with the sign of the left side."""
    numbers("%", left, right)
    if right == 0:
        raise Fault("it divides by zero")
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) % abs(right) * (-1 if left < 0 else 1)
    return checked(math.fmod(left, right))


def equal(meter: Meter, left: Any, right: Any) -> bool:
    """Whether two values are the same; values of different types are not."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        meter.spend(1 + min(len(left), len(right)))
        return len(left) == len(right) and all(
            equal(meter, mine, other) for mine, other in zip(left, right, strict=True)
        )
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        meter.spend(1 + min(len(left), len(right)))
        return len(left) == len(right) and all(
            key in right and equal(meter, value, right[key]) for key, value in left.items()
        )
    if type(left) is not type(right):
        return False
    meter.read(len(left) if isinstance(left, str | bytes) else 0)
    return bool(left == right)


def is_in(meter: Meter, left: Any, right: Any) -> bool:
    """Whether a list has an item, or a map a key."""
    if isinstance(right, list | tuple):
        meter.spend(1 + len(right) // 4)
        return any(equal(meter, left, item) for item in right)
    if isinstance(right, Mapping):
        meter.spend()
        # To Python true is 1, and a text is not.
        return (isinstance(left, str) or is_number(left)) and left in right
    hint = "; write b.contains(a) for texts" if isinstance(right, str) else ""
    raise Fault(f"`in` needs a list or a map on its right, not {described(right)}{hint}")


def compare(meter: Meter, left: Any, right: Any) -> int:
    """-1, 0 or 1: the order of two numbers, texts, bytes, booleans or times."""
    if not (is_number(left) and is_number(right)):
        if type(left) is not type(right) or not isinstance(left, str | bytes | bool | datetime | timedelta):
            raise Fault(f"{described(left)} and {described(right)} have no order")
        meter.read(min(len(left), len(right)) if isinstance(left, str | bytes) else 0)
    return int(left > right) - int(left < right)


def numbers(operator: str, *values: Any) -> None:
    """Raises Fault, naming the operator, unless all are numbers."""
    stranger = next((value for value in values if not is_number(value)), None)
    if not all(map(is_number, values)):
        raise Fault(f"`{operator}` needs numbers, not {described(stranger)}")


def checked(number: Any) -> Any:
    """A number that CEL can hold: whole ones have 64 bits, others are finite."""
    if isinstance(number, int):
        if not -INT64_MAX - 1 <= number <= INT64_MAX:
            raise Fault("the number that it gives has more than 64 bits")
    elif not math.isfinite(number):
        raise Fault("the number that it gives is too large")
    return number


def timely(compute: Callable[[], Any]) -> Any:
    """A time within the years 1 to 9999."""
    try:
        return compute()
    except OverflowError:
        raise Fault("the time that it gives is outside of the years 1 to 9999") from None


#: Operators that evaluate both sides, by their sign.
OPERATORS: dict[str, Operator] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "==": equal,
    "!=": lambda meter, left, right: not equal(meter, left, right),
    "<": lambda meter, left, right: compare(meter, left, right) < 0,
    "<=": lambda meter, left, right: compare(meter, left, right) <= 0,
    ">": lambda meter, left, right: compare(meter, left, right) > 0,
    ">=": lambda meter, left, right: compare(meter, left, right) >= 0,
    "in": is_in,
}

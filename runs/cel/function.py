"""What a function of expressions is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentflow.meter import Meter
from runs.cel.values import Fault, described, is_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function by its full name; `apply` pays the meter before it works, and raises Fault."""

    name: str
    #: How it is written, as the documentation and problems show it.
    usage: str
    apply: Callable[..., Any]
    #: Arguments that it takes, the value that it is called on included.
    least: int = 1
    most: int = 1
    #: `x.name()`, `name(x)`, or either.
    style: str = "value"

    def may_be_called(self, *, on_value: bool) -> bool:
        """Whether it is written in this way."""
        return self.style in ({"value", "both"} if on_value else {"global", "both"})


def text(value: Any, function: str) -> str:
    """`value`, which is a text; raises Fault naming the function."""
    if not isinstance(value, str):
        raise Fault(f"{function}() needs a text, not {described(value)}")
    return value


def number(value: Any, function: str) -> int | float:
    """`value`, which is a number; raises Fault naming the function."""
    if not is_number(value):
        raise Fault(f"{function}() needs a number, not {described(value)}")
    found: int | float = value
    return found


def whole(value: Any, function: str) -> int:
    """`value`, which is a whole number; raises Fault naming the function."""
    found = number(value, function)
    if found != int(found):
        raise Fault(f"{function}() needs a whole number")
    return int(found)


def items(value: Any, function: str, meter: Meter) -> list[Any]:
    """`value`, which is a list and is gone through; raises Fault naming the function."""
    if not isinstance(value, list):
        raise Fault(f"{function}() needs a list, not {described(value)}")
    meter.read(len(value))
    return value

"""What CEL expressions compute with: JSON, bytes, timestamps, durations, types; and what computing may cost.

Numbers are of one kind, as JSON's are: 30 and 30.0 are one value, `type` calls both `int`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Characters, bytes or items that are handled in the time of a step.
_SIZE_PER_STEP = 32


class Fault(Exception):  # a way out of an evaluation, which callers turn into ExpressionFailed
    """Why an expression has no value; it never quotes data."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class OverLimit(Fault):
    """An evaluation that would take more steps or memory than it may; nothing in the expression can absorb it."""


class Meter:
    """Counts what an evaluation costs, the same for the same expression and values; raises OverLimit."""

    __slots__ = ("_limit", "_memory", "_spent", "_stored")

    def __init__(self, *, steps: int, memory: int) -> None:
        """Up to `steps`, of about a microsecond, and `memory` made, in characters, bytes or items of lists."""
        self._limit, self._memory = steps, memory
        self._spent = self._stored = 0

    def spend(self, steps: int = 1) -> None:
        """Pays for work before it is done."""
        self._spent += steps
        if self._spent > self._limit:
            raise OverLimit(f"it takes more than {self._limit:,} steps; go over shorter lists, or use a code node")

    def read(self, size: int) -> None:
        """Pays for going through so many characters or items."""
        self.spend(1 + size // _SIZE_PER_STEP)

    def make(self, size: int) -> None:
        """Pays for making a text or list of so many characters or items."""
        self._stored += size
        if self._stored > self._memory:
            raise OverLimit(f"it makes more than {self._memory:,} characters; make less, or use a code node")
        self.spend(1 + size // _SIZE_PER_STEP)


@dataclass(frozen=True, slots=True)
class TypeName:
    """What `type(x)` gives."""

    name: str


#: The names of types, as CEL has them ("Values"); numbers with a fraction are `double`.
TYPES = frozenset(
    {"int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "timestamp", "duration"}
)
_NAMES = (
    (bool, "bool", "a boolean"),
    (int, "int", "a number"),
    (float, "double", "a number"),
    (str, "string", "a text"),
    (bytes, "bytes", "bytes"),
    (list | tuple, "list", "a list"),
    (dict, "map", "a map"),
    (datetime, "timestamp", "a timestamp"),
    (timedelta, "duration", "a duration"),
    (TypeName, "type", "a type"),
)


def type_of(value: object) -> TypeName:
    """The CEL type of a value; whole numbers are `int` however they are written."""
    if isinstance(value, float) and value.is_integer():
        return TypeName("int")
    return TypeName(next((name for kind, name, _ in _NAMES if isinstance(value, kind)), "null_type"))


def described(value: object) -> str:
    """`a text`, `a number`: a value's kind in words."""
    return next((words for kind, _, words in _NAMES if isinstance(value, kind)), "null")


def is_number(value: object) -> bool:
    """Whether a value is a number; booleans are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)

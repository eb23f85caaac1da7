"""What CEL expressions compute with: JSON, bytes, timestamps, durations, types.

Numbers are of one kind, as JSON's are: 30 and 30.0 are one value, `type` calls both `int`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


class Fault(Exception):  # a way out of an evaluation, which callers turn into ExpressionFailed
    """Why an expression has no value; it never quotes data."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


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

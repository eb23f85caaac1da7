"""The syntax tree of CEL (https://github.com/google/cel-spec/blob/master/doc/langdef.md, "Syntax").

Chains (`a + b + c`, `a ? b : c ? d : e`, `a.b[0].c`) are one node each, so that depth grows with brackets alone.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the source."""

    value: object


@dataclass(frozen=True, slots=True)
class Name:
    """A variable; `slot` numbers the macro variable that it is, None where it is one of the scope."""

    name: str
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """`.name` after a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`[key]` after a value."""

    key: "Node"


@dataclass(frozen=True, slots=True)
class Member:
    """A value and the way into it."""

    operand: "Node"
    steps: tuple[Field | Index, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """`has(operand.name)`."""

    operand: "Node"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function by its full name; the value that it is called on comes first."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Macro:
    """`operand.kind(variable, …)`: the parts see each item as `slot`."""

    kind: str
    operand: "Node"
    slot: int
    parts: tuple["Node", ...]
    #: Nodes of the parts, inner macros' parts apart: what one turn costs at least.
    weight: int


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Junction:
    """`a && b && …`, or `a || b || …` where `decisive` is True."""

    decisive: bool
    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """`first op operand op operand …` of one precedence, from left to right."""

    first: "Node"
    rest: tuple[tuple[str, "Node"], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? value : … : otherwise`."""

    cases: tuple[tuple["Node", "Node"], ...]
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{key: value}`."""

    entries: tuple[tuple["Node", "Node"], ...]


Node: TypeAlias = (
    Literal | Name | Member | Has | Call | Macro | Not | Negative | Junction | Chain | Choice | ListOf | MapOf
)

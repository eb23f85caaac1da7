"""From a syntax tree to a program: nested functions over a scope, which pay a meter as they go.

What an expression costs without macros is bounded by its length; each turn of a macro pays for the nodes inside, and
whatever reads or makes a text or list pays for its size. So the meter stops the same expression over the same values
at the same place, in every process and at replay.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agentflow.linear_pattern import linear_pattern
from agentflow.meter import Meter
from runs.cel.functions import FUNCTIONS
from runs.cel.list_functions import in_order
from runs.cel.operators import OPERATORS, checked, divide_truncating, numbers
from runs.cel.syntax import (
    Call,
    Chain,
    Choice,
    Field,
    Has,
    Junction,
    ListOf,
    Literal,
    Macro,
    MapOf,
    Member,
    Name,
    Negative,
    Node,
    Not,
)
from runs.cel.text_functions import is_found
from runs.cel.values import TYPES, Fault, TypeName, described, is_number


class Frame:
    """What one evaluation sees: the names of its scope, the items that macros are at, its meter."""

    __slots__ = ("meter", "scope", "slots", "truncates")

    def __init__(self, scope: Mapping[str, Any], meter: Meter, *, truncates: bool) -> None:
        self.scope, self.meter, self.truncates = scope, meter, truncates
        self.slots: list[Any] = []


Program = Callable[[Frame], Any]


def program_of(node: Node, *, types_are_names: bool = False) -> Program:
    """The program of a tree; `types_are_names` where `int` is not the type but a variable."""
    return _Builder(types_are_names=types_are_names).build(node)


class _Builder:
    def __init__(self, *, types_are_names: bool) -> None:
        self._types_are_names = types_are_names

    def build(self, node: Node) -> Program:
        builder: Callable[[Any], Program] = getattr(self, f"_{type(node).__name__.lower()}")
        return builder(node)

    def _literal(self, node: Literal) -> Program:
        value = node.value
        return lambda _: value

    def _name(self, node: Name) -> Program:
        name, slot = node.name, node.slot
        if slot is not None:
            return lambda frame: frame.slots[slot]
        if name in TYPES and not self._types_are_names:
            wanted = TypeName(name)
            return lambda _: wanted

        def read(frame: Frame) -> Any:
            if name not in frame.scope:
                raise Fault(f"{name!r} is not known here")
            return frame.scope[name]

        return read

    def _member(self, node: Member) -> Program:
        operand = self.build(node.operand)
        steps: list[tuple[str | None, Program | None]] = [
            (step.name, None) if isinstance(step, Field) else (None, self.build(step.key)) for step in node.steps
        ]

        def read(frame: Frame) -> Any:
            value = operand(frame)
            for name, key in steps:
                value = _field(value, name) if key is None else _item(value, key(frame))
            return value

        return read

    def _has(self, node: Has) -> Program:
        operand, name = self.build(node.operand), node.name

        def ask(frame: Frame) -> bool:
            value = operand(frame)
            if not isinstance(value, Mapping):
                raise Fault(f"{described(value)} has no fields that has() could ask for")
            return name in value

        return ask

    def _call(self, node: Call) -> Program:
        apply = FUNCTIONS[node.function].apply
        arguments = tuple(self.build(argument) for argument in node.arguments)
        if node.function == "matches" and isinstance(pattern := node.arguments[1], Literal):
            compiled, value = linear_pattern(str(pattern.value)), arguments[0]
            return lambda frame: is_found(frame.meter, value(frame), compiled)
        return lambda frame: apply(frame.meter, *(argument(frame) for argument in arguments))

    def _not(self, node: Not) -> Program:
        operand = self.build(node.operand)
        return lambda frame: not _truth(operand(frame), "`!`")

    def _negative(self, node: Negative) -> Program:
        operand = self.build(node.operand)

        def negate(frame: Frame) -> Any:
            value = operand(frame)
            numbers("-", value)
            return checked(-value)

        return negate

    def _junction(self, node: Junction) -> Program:
        operands = tuple(self.build(operand) for operand in node.operands)
        decisive, asker = node.decisive, "`||`" if node.decisive else "`&&`"
        return lambda frame: _decided(frame, operands, decisive=decisive, asker=asker)

    def _chain(self, node: Chain) -> Program:
        first = self.build(node.first)
        rest = tuple((sign, OPERATORS[sign], self.build(operand)) for sign, operand in node.rest)

        def compute(frame: Frame) -> Any:
            value = first(frame)
            for sign, operator, operand in rest:
                apply = divide_truncating if sign == "/" and frame.truncates else operator
                value = apply(frame.meter, value, operand(frame))
            return value

        return compute

    def _choice(self, node: Choice) -> Program:
        cases = tuple((self.build(condition), self.build(value)) for condition, value in node.cases)
        otherwise = self.build(node.otherwise)

        def choose(frame: Frame) -> Any:
            for condition, value in cases:
                if _truth(condition(frame), "the condition before `?`"):
                    return value(frame)
            return otherwise(frame)

        return choose

    def _listof(self, node: ListOf) -> Program:
        items = tuple(self.build(item) for item in node.items)
        return lambda frame: [item(frame) for item in items]

    def _mapof(self, node: MapOf) -> Program:
        entries = tuple((self.build(key), self.build(value)) for key, value in node.entries)

        def make(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key, value in entries:
                name = key(frame)
                if not isinstance(name, str | bool | int):
                    raise Fault(f"a map's keys are texts, whole numbers or booleans, not {described(name)}")
                if name in made:
                    raise Fault("a map has a key twice")
                made[name] = value(frame)
            return made

        return make

    def _macro(self, node: Macro) -> Program:
        operand, slot, weight = self.build(node.operand), node.slot, 1 + node.weight
        parts = tuple(self.build(part) for part in node.parts)
        run = _MACROS[node.kind]

        def go(frame: Frame) -> Any:
            found = operand(frame)
            if isinstance(found, Mapping):
                frame.meter.spend(len(found) * max(1, len(found).bit_length() // 4))
                found = sorted(found, key=str)
            if not isinstance(found, list | tuple):
                raise Fault(f"{node.kind}() goes over a list or a map, not {described(found)}")
            while len(frame.slots) <= slot:
                frame.slots.append(None)
            return run(_Turns(frame, slot, weight, found), *parts)

        return go


class _Turns:
    """The items of a macro, each paid for as it comes."""

    def __init__(self, frame: Frame, slot: int, weight: int, found: Any) -> None:
        self.frame, self.found = frame, found
        self._slot, self._weight = slot, weight

    def __iter__(self) -> Iterator[Any]:
        frame, slot = self.frame, self._slot
        for item in self.found:
            frame.meter.spend(self._weight)
            frame.slots[slot] = item
            yield item

    def holds(self, condition: Program, macro: str) -> Iterator[tuple[Any, bool]]:
        """Each item, and whether the condition holds of it."""
        for item in self:
            yield item, _truth(condition(self.frame), f"the condition of {macro}()")

    def kept(self, values: list[Any]) -> list[Any]:
        """A list that the macro makes."""
        self.frame.meter.make(len(values))
        return values


def _decided(frame: Frame, conditions: Iterable[Program], *, decisive: bool, asker: str) -> bool:
    """Whether one condition gives `decisive`, which absorbs the faults of others (langdef.md, "Logical Operators")."""
    fault: Fault | None = None
    for condition in conditions:
        try:
            if _truth(condition(frame), asker) is decisive:
                return decisive
        except Fault as error:
            fault = fault or error
    if fault is not None:
        raise fault
    return not decisive


def _quantified(turns: _Turns, condition: Program, *, decisive: bool, macro: str) -> bool:
    asker = f"the condition of {macro}()"
    return _decided(turns.frame, (condition for _ in turns), decisive=decisive, asker=asker)


def _exists_one(turns: _Turns, condition: Program) -> bool:
    return sum(held for _, held in turns.holds(condition, "exists_one")) == 1


def _filter(turns: _Turns, condition: Program) -> list[Any]:
    return turns.kept([item for item, held in turns.holds(condition, "filter") if held])


def _map(turns: _Turns, *parts: Program) -> list[Any]:
    if len(parts) == 1:
        return turns.kept([parts[0](turns.frame) for _ in turns])
    return turns.kept([parts[1](turns.frame) for _, held in turns.holds(parts[0], "map") if held])


def _sort_by(turns: _Turns, key: Program) -> list[Any]:
    keys = [key(turns.frame) for _ in turns]
    return in_order(turns.frame.meter, keys, list(turns.found))


_MACROS: dict[str, Callable[..., Any]] = {
    "all": lambda turns, condition: _quantified(turns, condition, decisive=False, macro="all"),
    "exists": lambda turns, condition: _quantified(turns, condition, decisive=True, macro="exists"),
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _map,
    "sortBy": _sort_by,
}


def _truth(value: Any, asker: str) -> bool:
    if not isinstance(value, bool):
        raise Fault(f"{asker} needs true or false, not {described(value)}")
    return value


def _field(value: Any, name: str | None) -> Any:
    if not isinstance(value, Mapping):
        raise Fault(f"{described(value)} has no field {name!r}")
    if name not in value:
        raise Fault(f"there is no field {name!r}")
    return value[name]


def _item(value: Any, key: Any) -> Any:
    if isinstance(value, list | tuple):
        if not is_number(key) or key != int(key):
            raise Fault(f"a list's positions are whole numbers, not {described(key)}")
        if not 0 <= key < len(value):
            raise Fault(f"a list of {len(value)} items has no position of that number")
        return value[int(key)]
    if not isinstance(value, Mapping):
        raise Fault(f"{described(value)} has no items")
    if not isinstance(key, str | bool | int | float) or key not in value:
        raise Fault("there is no field of the name that it computes")
    return value[key]

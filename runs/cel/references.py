"""Which paths of its scope a syntax tree reads: what is known of an expression before it has any values."""

from collections.abc import Iterator

from runs.cel.syntax import (
    Call,
    Chain,
    Choice,
    Field,
    Has,
    Index,
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


def walk(node: Node) -> Iterator[Node]:
    """A tree's nodes in the order of the source, those above before those below."""
    yield node
    for part in _parts(node):
        yield from walk(part)


def paths_read(tree: Node, *, not_read: frozenset[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Root and path of each place that is read; what a macro binds (`items.map(i, …)`) is not, nor bare `not_read`.

    A path ends before the first step that is computed, and counts positions as steps.
    """
    # What a member or `has` opens with is told of as part of its path, not by itself.
    told: set[int] = set()
    for node in walk(tree):
        operand, steps = _unfolded(node)
        if not isinstance(operand, Name) or operand.slot is not None or id(operand) in told:
            continue
        told.add(id(operand))
        path = tuple(_plain(steps))
        if path or operand.name not in not_read:
            yield operand.name, path


def _unfolded(node: Node) -> tuple[Node, tuple[Field | Index, ...]]:
    """What a path opens with, and the whole way from there."""
    if isinstance(node, Has):
        operand, steps = _unfolded(node.operand)
        return operand, (*steps, Field(node.name))
    return (node.operand, node.steps) if isinstance(node, Member) else (node, ())


def _plain(steps: tuple[Field | Index, ...]) -> Iterator[str]:
    """The steps up to the first that is computed."""
    for step in steps:
        match step:
            case Field(name):
                yield name
            case Index(Literal(int(place))) if not isinstance(place, bool) and place >= 0:
                yield str(place)
            case _:
                return


def _parts(node: Node) -> tuple[Node, ...]:  # noqa: PLR0911 - one line for each kind of node
    match node:
        case Member(operand, steps):
            return (operand, *(step.key for step in steps if isinstance(step, Index)))
        case Has(operand, _) | Not(operand) | Negative(operand):
            return (operand,)
        case Call(_, parts) | Junction(_, parts) | ListOf(parts):
            return parts
        case Macro():
            return (node.operand, *node.parts)
        case Chain(first, rest):
            return (first, *(operand for _, operand in rest))
        case Choice(cases, otherwise):
            return (*(part for case in cases for part in case), otherwise)
        case MapOf(entries):
            return tuple(part for entry in entries for part in entry)
        case _:
            return ()

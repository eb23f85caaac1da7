"""A DAG as text for terminals: a line for each node, and rails on the left that are its edges; pure.

All edges into one node share a rail, so that a drawing is no wider than the nodes that wait at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cli.output import printable
from cli.run_text import SYMBOLS
from workflows.graph_layout import layers_of
from workflows.graph_view import GraphNode, edge_count

_NODE = "●"
_UNKNOWN_STATE = "?"
_LONGEST_DETAIL = 100
#: (from above, to below, to the left, to the right) → what joins them.
_JOINTS: Mapping[tuple[bool, bool, bool, bool], str] = {
    (True, False, False, False): " ",
    (True, True, False, False): "│",
    (True, False, True, False): "╯",
    (True, False, False, True): "╰",
    (False, True, True, False): "╮",
    (False, True, False, True): "╭",
    (True, True, True, False): "┤",
    (True, True, False, True): "├",
    (True, False, True, True): "┴",
    (False, True, True, True): "┬",
    (True, True, True, True): "┼",
    (False, False, True, True): "─",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """The rails beside a node, and beneath it."""

    node: GraphNode
    beside: str
    beneath: str


def draw_text(
    name: str, version: int, nodes: Sequence[GraphNode], *, states: Mapping[str, str] | None = None
) -> list[str]:
    """The lines of the drawing; with `states` (node → state in a run) each node shows its state."""
    layers = layers_of({node.node_id: node.upstream for node in nodes})
    heading = f"{name} version {version}: {_counted(len(nodes), 'node')}, {_counted(edge_count(nodes), 'edge')}, "
    lines = [printable(heading + _counted(len(layers), "layer")), ""]
    by_id = {node.node_id: node for node in nodes}
    rows = _rows([by_id[node_id] for layer in layers for node_id in layer], states)
    rails = max((len(part) for row in rows for part in (row.beside, row.beneath)), default=0)
    width = max((len(node.node_id) for node in nodes), default=0)
    for row in rows:
        lines.append(f"{row.beside:<{rails}}  {row.node.node_id:<{width}}  {_one_line(row.node.does)}".rstrip())
        details = " · ".join(_shortened(_one_line(detail)) for detail in row.node.details)
        lines.append(f"{row.beneath:<{rails}}  {'':<{width}}  {details}".rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _rows(ordered: Sequence[GraphNode], states: Mapping[str, str] | None) -> list[_Row]:
    targets: dict[str, list[str]] = {node.node_id: [] for node in ordered}
    for node in ordered:
        for source in dict.fromkeys(node.upstream):
            targets[source].append(node.node_id)
    #: Rail → the node that it leads to.
    rails: list[str | None] = []
    rows = []
    for node in ordered:
        at = _rail_to(node.node_id, rails)
        rails[at] = None
        mark = _NODE if states is None else SYMBOLS.get(states.get(node.node_id, ""), _UNKNOWN_STATE)
        beside = " ".join(mark if rail == at else _passing(rails[rail]) for rail in range(len(rails)))
        busy = [rail is not None for rail in rails]
        ends = _branch(at, targets[node.node_id], rails)
        busy += [False] * (len(rails) - len(busy))
        rows.append(_Row(node=node, beside=beside.rstrip(), beneath=_joints(at, ends, busy)))
        while rails and rails[-1] is None:
            rails.pop()
    return rows


def _rail_to(node_id: str, rails: list[str | None]) -> int:
    """The rail that leads to the node, or a free one for a node that nothing leads to."""
    if node_id in rails:
        return rails.index(node_id)
    return _free_rail(rails, after=-1)


def _free_rail(rails: list[str | None], *, after: int) -> int:
    """A rail on the right of `after` that leads nowhere."""
    for number in range(after + 1, len(rails)):
        if rails[number] is None:
            return number
    rails.append(None)
    return len(rails) - 1


def _branch(at: int, targets: Sequence[str], rails: list[str | None]) -> set[int]:
    """Leads rails to the targets, the first of them on the node's own; returns all rails that an edge goes to."""
    ends = set()
    for target in targets:
        if target in rails:
            end = rails.index(target)
        else:
            end = at if rails[at] is None else _free_rail(rails, after=at)
            rails[end] = target
        ends.add(end)
    return ends


def _joints(at: int, ends: set[int], busy: Sequence[bool]) -> str:
    """The line in which edges leave the rail `at` for the rails `ends`; others pass straight through."""
    left, right = min(ends | {at}), max(ends | {at})
    line = ""
    for rail, is_busy in enumerate(busy):
        if is_busy and rail not in ends:
            line += "│"
        elif left <= rail <= right:
            line += _JOINTS[is_busy or rail == at, rail in ends, rail > left, rail < right]
        else:
            line += " "
        line += "─" if left <= rail < right else " "
    return line.rstrip()


def _passing(target: str | None) -> str:
    return "│" if target is not None else " "


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else f"{text[: _LONGEST_DETAIL - 1]}…"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

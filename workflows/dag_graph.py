"""The shape of a DAG: who comes before whom, and whether anyone comes before themselves."""

import difflib
from collections.abc import Iterable, Mapping

from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps
from workflows.dag_spec import RESERVED_IDS, DagSpec, EdgeSpec
from workflows.errors import SpecProblem

Upstream = Mapping[str, tuple[str, ...]]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or the list of what there is, or nothing."""
    choices = sorted(set(known))
    close = difflib.get_close_matches(word, choices, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if choices and len(choices) <= 12:
        return f"; there is {', '.join(repr(choice) for choice in choices)}"
    return ""


def read_graph(spec: DagSpec, document: Document, problems: list[SpecProblem]) -> Upstream:
    """Node id → the ids that it waits for directly, in document order; adds what is wrong to `problems`."""
    _check_ids(spec, document, problems)
    upstream: dict[str, dict[str, None]] = {node.id: {} for node in spec.nodes}
    unknown: list[tuple[PathSteps, str]] = []
    for position, node in enumerate(spec.nodes):
        for number, dependency in enumerate(node.depends):
            if dependency in upstream:
                upstream[node.id][dependency] = None
            elif dependency not in spec.broken_ids:
                unknown.append(((*spec.node_path(position), "depends", number), dependency))
    for number, edge in enumerate(spec.edges):
        path = (*spec.part_path("edges"), number)
        missing = [((*path, end), name) for end, name in _ends(edge) if name not in upstream]
        unknown.extend((place, name) for place, name in missing if name not in spec.broken_ids)
        if not missing:
            upstream[edge.target][edge.source] = None
    # Looking for what was meant takes milliseconds, and a document could ask for it ten thousand times.
    for path, name in unknown[: MAX_PROBLEMS + 1]:
        message = f"there is no node {name!r}{did_you_mean(name, upstream)}"
        problems.append(document.problem("unknown_node", path, message))
    return {node_id: tuple(before) for node_id, before in upstream.items()}


def find_cycle(upstream: Upstream) -> list[str] | None:
    """A cycle as the list of its nodes, the first one again at the end; None when there is none."""
    done: set[str] = set()
    for start in upstream:
        trail: list[str] = []
        on_trail: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                trail.pop()
                on_trail.discard(node)
                done.add(node)
                continue
            if node in on_trail:
                cycle = [*trail[trail.index(node) :], node]
                return cycle[::-1]
            if node in done:
                continue
            trail.append(node)
            on_trail.add(node)
            stack.append((node, True))
            stack.extend((before, False) for before in reversed(upstream[node]))
    return None


def all_upstream(upstream: Upstream) -> dict[str, frozenset[str]]:
    """Node id → every node that has ended before it may begin; the graph must have no cycle."""
    closure: dict[str, frozenset[str]] = {}
    pending = list(upstream)
    while pending:
        node = pending[-1]
        if node in closure:
            pending.pop()
            continue
        missing = [before for before in upstream[node] if before not in closure]
        if missing:
            pending.extend(missing)
            continue
        pending.pop()
        closure[node] = frozenset(upstream[node]).union(*(closure[before] for before in upstream[node]))
    return closure


def _ends(edge: EdgeSpec) -> tuple[tuple[str, str], ...]:
    return (("from", edge.source), ("to", edge.target))


def _check_ids(spec: DagSpec, document: Document, problems: list[SpecProblem]) -> None:
    first_at: dict[str, int] = {}
    for position, node in enumerate(spec.nodes):
        path = (*spec.node_path(position), "id")
        if node.id in RESERVED_IDS:
            problems.append(document.problem("reserved_id", path, f"{node.id!r} has a meaning of its own; rename it"))
        if node.id in first_at or node.id in spec.broken_ids:
            holder = f"nodes[{first_at[node.id]}]" if node.id in first_at else "another node"
            message = f"the id {node.id!r} is taken by {holder}; give this node another"
            problems.append(document.problem("duplicate_id", path, message))
        first_at.setdefault(node.id, position)

"""The shape of a DAG: who comes before whom, and whether anyone comes before themselves."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from runs.errors import ExpressionInvalid
from runs.expressions import parse_expression
from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps
from workflows.dag_references import Reads
from workflows.dag_spec import RESERVED_IDS, DagSpec, EdgeSpec
from workflows.errors import SpecProblem
from workflows.expression_types import never_true, types_by_form

#: For how many problems of a document what was meant is looked for, and among how many names of which length.
MAX_HINTS = 20
MAX_COMPARED_NAMES = 50
MAX_COMPARED_LENGTH = 64

Upstream = Mapping[str, tuple[str, ...]]
#: What `depends` may ask of a node.
OUTCOMES = ("succeeded", "failed", "skipped")


def did_you_mean(word: str, known: Iterable[str], problems: Sequence[SpecProblem] = ()) -> str:
    """`; did you mean 'x'?`, or the list of what there is, or nothing.

    Comparing two names takes up to a millisecond, and a document brings as many as it likes: only short ones are
    compared, only so many with one word, and only for the first `problems` of a document.
    """
    if len(problems) >= MAX_HINTS:
        return ""
    choices = sorted(set(known))
    close = difflib.get_close_matches(word, _comparable(word, choices), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    if choices and len(choices) <= 12:
        return f"; there is {', '.join(repr(choice) for choice in choices)}"
    return ""


def _comparable(word: str, choices: Sequence[str]) -> list[str]:
    """The names that are worth comparing with a word, those of the same beginning first."""
    if len(word) > MAX_COMPARED_LENGTH:
        return []
    # Of what difflib calls close, neither is more than 7/3 times as long as the other.
    alike = [name for name in choices if 3 * max(len(name), len(word)) <= 7 * min(len(name), len(word))]
    alike = [name for name in alike if len(name) <= MAX_COMPARED_LENGTH]
    return sorted(alike, key=lambda name: name[:1] != word[:1])[:MAX_COMPARED_NAMES]


def read_graph(spec: DagSpec, document: Document, problems: list[SpecProblem]) -> Upstream:
    """Node id → the ids that it waits for directly, in document order; adds what is wrong to `problems`."""
    _check_ids(spec, document, problems)
    upstream: dict[str, dict[str, None]] = {node.id: {} for node in spec.nodes}
    unknown: list[tuple[PathSteps, str]] = []
    for position, node in enumerate(spec.nodes):
        path = (*spec.node_path(position), "depends")
        if isinstance(node.depends, str):
            named = [(path, root) for root in _judged(node.depends, path, document, problems)]
        else:
            named = [((*path, number), dependency) for number, dependency in enumerate(node.depends)]
        for place, dependency in named:
            if dependency in upstream:
                upstream[node.id][dependency] = None
            elif dependency not in spec.broken_ids:
                unknown.append((place, dependency))
    for number, edge in enumerate(spec.edges):
        path = (*spec.part_path("edges"), number)
        missing = [((*path, end), name) for end, name in _ends(edge) if name not in upstream]
        unknown.extend((place, name) for place, name in missing if name not in spec.broken_ids)
        if not missing:
            upstream[edge.target][edge.source] = None
    for path, name in unknown[: MAX_PROBLEMS + 1]:
        message = f"there is no node {name!r}{did_you_mean(name, upstream, problems)}"
        problems.append(document.problem("unknown_node", path, message))
    found = {node_id: tuple(before) for node_id, before in upstream.items()}
    _check_phases(spec, document, found, problems)
    return found


def with_reads(upstream: Upstream, reads: Reads) -> tuple[Upstream, Mapping[tuple[str, str], PathSteps]]:
    """The graph with an edge from each node that is read and does not come before as it is.

    Also those edges, as (reader, read), with the path of the expression; none are added where the graph has a cycle.
    """
    if find_cycle(upstream) is not None:
        return upstream, {}
    before = all_upstream(upstream)
    implied = {
        (reader, read): path
        for reader, found in reads.items()
        for read, path in found.items()
        if read not in before[reader]
    }
    return {
        node_id: (*direct, *(read for reader, read in implied if reader == node_id))
        for node_id, direct in upstream.items()
    }, implied


def judged_failures(spec: DagSpec) -> frozenset[str]:
    """The nodes whose failure some `depends` asks for: the run goes on from it."""
    judging = [node.depends for node in spec.nodes if isinstance(node.depends, str)]
    found: set[str] = set()
    for source in judging:
        with suppress(ExpressionInvalid):
            found.update(ref.root for ref in parse_expression(source).references if ref.path == ("failed",))
    return frozenset(found)


def _judged(source: str, path: PathSteps, document: Document, problems: list[SpecProblem]) -> list[str]:
    """The nodes that an expression over outcomes names."""
    try:
        references = parse_expression(source).references
    except ExpressionInvalid as error:
        problems.append(document.problem("invalid_expression", path, str(error)))
        return []
    for reference in references:
        if len(reference.path) != 1 or reference.path[0] not in OUTCOMES:
            message = f"{str(reference)!r} is no outcome; write {reference.root}.{', .'.join(OUTCOMES)}"
            problems.append(document.problem("unknown_outcome", path, message))
            return []
    types = types_by_form(source)
    if not references:
        problems.append(document.problem("unknown_outcome", path, "name the outcome of a node, such as a.succeeded"))
    elif types is not None and "boolean" not in types:
        problems.append(document.problem("never_a_condition", path, never_true(source, types)))
    return list(dict.fromkeys(reference.root for reference in references))


def _check_phases(spec: DagSpec, document: Document, upstream: Upstream, problems: list[SpecProblem]) -> None:
    """Final nodes come after all others as it is, and nothing else can come after them."""
    final = {node.id for node in spec.nodes if node.is_final}
    arrows = {edge.target for edge in spec.edges}
    for position, node in enumerate(spec.nodes):
        path = spec.node_path(position)
        wrong = next((before for before in upstream[node.id] if (before in final) != node.is_final), None)
        if wrong is not None:
            message = (
                f"{node.id!r} stands in `finally` and comes after {wrong!r} and all other nodes as it is"
                if node.is_final
                else f"{wrong!r} stands in `finally`, after everything else: {node.id!r} cannot wait for it"
            )
            problems.append(document.problem("wrong_phase", path, message))
        if isinstance(node.depends, str) and node.id in arrows:
            message = f"`depends` of {node.id!r} is an expression; name what its edges come from there, too"
            problems.append(document.problem("ambiguous_depends", (*path, "depends"), message))


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

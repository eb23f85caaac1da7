import difflib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workflows.sample_catalog import node, workflow
from workflows.dag_document import MAX_PROBLEMS, parse_document
from workflows.dag_graph import (
    MAX_COMPARED_LENGTH,
    MAX_COMPARED_NAMES,
    Upstream,
    all_upstream,
    did_you_mean,
    find_cycle,
    read_graph,
)
from workflows.dag_spec import MAX_NODES, RESERVED_IDS, read_spec
from workflows.errors import SpecProblem

NAMES = [f"n{number}" for number in range(8)]
GRAPHS = st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES), max_size=3).map(tuple) for name in NAMES})
ACYCLIC_GRAPHS = st.permutations(NAMES).flatmap(
    lambda order: st.fixed_dictionaries(
        {
            name: st.lists(st.sampled_from(order[:position]), max_size=3).map(tuple) if position else st.just(())
            for position, name in enumerate(order)
        }
    )
)


class _Counted(str):
    """A name that counts how often anyone looks for it."""

    __slots__ = ()
    hashed = 0

    def __hash__(self) -> int:
        type(self).hashed += 1
        return super().__hash__()


def graph_of(text: str) -> tuple[Upstream, list[SpecProblem]]:
    document = parse_document(text)
    problems: list[SpecProblem] = []
    return read_graph(read_spec(document), document, problems), problems


def reaches(upstream: Upstream, start: str) -> set[str]:
    """Everything that lies before `start`, said as simply as can be."""
    found: set[str] = set()
    pending = list(upstream[start])
    while pending:
        before = pending.pop()
        if before not in found:
            found.add(before)
            pending.extend(upstream[before])
    return found


def test_edges_and_depends_say_the_same_and_each_counts_once() -> None:
    upstream, problems = graph_of(
        workflow(
            node("a"),
            node("b", more=", depends: [a, a]"),
            node("c", more=", depends: [b]"),
            edges=[("a", "b"), ("a", "c"), ("a", "c")],
        )
    )

    assert {"a": (), "b": ("a",), "c": ("b", "a")} == upstream
    assert [] == problems


def test_unknown_nodes_are_told_with_their_place_and_what_may_have_been_meant() -> None:
    upstream, problems = graph_of(
        workflow(
            node("ingest"),
            node("analyze", more=", depends: [ingest, ingset]"),
            edges=[("ingest", "analyse"), ("x", "y")],
        )
    )

    assert {"ingest": (), "analyze": ("ingest",)} == upstream
    assert [
        ("unknown_node", "$.nodes[1].depends[1]", 4, "there is no node 'ingset'; did you mean 'ingest'?"),
        ("unknown_node", "$.edges[0].to", 6, "there is no node 'analyse'; did you mean 'analyze'?"),
        ("unknown_node", "$.edges[1].from", 7, "there is no node 'x'; there is 'analyze', 'ingest'"),
        ("unknown_node", "$.edges[1].to", 7, "there is no node 'y'; there is 'analyze', 'ingest'"),
    ] == [(problem.code, problem.path, problem.line, problem.message) for problem in problems]


def test_unknown_nodes_below_dag_have_their_path_below_dag() -> None:
    _, problems = graph_of(
        f"name: x\ndag:\n  nodes: [{node('a', more=', depends: [b]')[2:-1]}]\n  edges: [{{from: a, to: c}}]\n"
    )

    assert ["$.dag.nodes[0].depends[0]", "$.dag.edges[0].to"] == [problem.path for problem in problems]


def test_a_flood_of_unknown_nodes_is_cut_before_it_costs_time() -> None:
    nodes = [node(f"node_with_a_long_name_{number}") for number in range(MAX_NODES)]
    edges = [(f"nod_with_a_long_name{number}", f"node_wth_a_long_name{number}") for number in range(500)]

    _, problems = graph_of(workflow(*nodes, edges=edges))

    assert MAX_PROBLEMS + 1 == len(problems)


def test_an_id_taken_twice_is_told_with_the_node_that_has_it() -> None:
    _, (problem,) = graph_of(workflow(node("a"), node("b"), node("a")))

    assert ("duplicate_id", "$.nodes[2].id", 5) == (problem.code, problem.path, problem.line)
    assert "the id 'a' is taken by nodes[0]; give this node another" == problem.message


@pytest.mark.parametrize("node_id", sorted(RESERVED_IDS))
def test_a_name_that_expressions_use_for_something_else_is_no_id(node_id: str) -> None:
    _, (problem,) = graph_of(workflow(node(f"'{node_id}'")))

    assert ("reserved_id", "$.nodes[0].id", 3) == (problem.code, problem.path, problem.line)
    assert f"{node_id!r} has a meaning of its own; rename it" == problem.message


@pytest.mark.parametrize(
    ("upstream", "cycle"),
    [
        ({"a": ("a",)}, ["a", "a"]),
        ({"a": ("b",), "b": ("a",)}, ["a", "b", "a"]),
        ({"a": (), "b": ("a", "d"), "c": ("b",), "d": ("c",)}, ["b", "c", "d", "b"]),
    ],
)
def test_a_cycle_is_told_in_the_direction_of_its_edges(upstream: Upstream, cycle: list[str]) -> None:
    assert cycle == find_cycle(upstream)


@given(GRAPHS)
def test_a_cycle_is_found_where_a_node_lies_before_itself_and_nowhere_else(upstream: Upstream) -> None:
    cycle = find_cycle(upstream)

    if cycle is None:
        assert not any(name in reaches(upstream, name) for name in upstream)
        return
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert all(before in upstream[node_id] for before, node_id in pairwise(cycle))


@given(ACYCLIC_GRAPHS)
def test_a_graph_that_was_built_without_cycles_has_none(upstream: Upstream) -> None:
    assert find_cycle(upstream) is None


@given(ACYCLIC_GRAPHS)
def test_all_upstream_is_everything_that_lies_before(upstream: Upstream) -> None:
    assert {name: reaches(upstream, name) for name in upstream} == all_upstream(upstream)


def test_a_long_chain_is_no_trouble() -> None:
    names = [f"n{number}" for number in range(3_000)]
    chain = {names[0]: ()} | {name: (before,) for before, name in pairwise(names)}

    assert find_cycle(chain) is None
    assert set(names[:-1]) == all_upstream(chain)[names[-1]]


def test_the_work_for_a_graph_with_every_edge_that_fits_grows_with_its_edges() -> None:
    names = [_Counted(f"n{number}") for number in range(MAX_NODES)]
    complete: Upstream = {name: tuple(names[:at]) for at, name in enumerate(names)}
    _Counted.hashed = 0

    closure = all_upstream(complete)

    edges = MAX_NODES * (MAX_NODES - 1) // 2
    assert _Counted.hashed < 20 * edges
    assert {name: set(names[:at]) for at, name in enumerate(names)} == closure


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("ingset", ["ingest", "report"], "; did you mean 'ingest'?"),
        ("zzz", ["b", "a"], "; there is 'a', 'b'"),
        ("zzz", [f"node{number}" for number in range(13)], ""),
        ("zzz", [], ""),
    ],
)
def test_a_hint_names_the_nearest_word_or_the_few_there_are(word: str, known: list[str], hint: str) -> None:
    assert hint == did_you_mean(word, known)


def test_few_names_are_compared_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    compare = difflib.SequenceMatcher.ratio

    def counting(matcher: difflib.SequenceMatcher[str]) -> float:
        compared.append(len(matcher.a) + len(matcher.b))  # type: ignore[attr-defined]  # as documented
        return compare(matcher)

    monkeypatch.setattr(difflib.SequenceMatcher, "ratio", counting)
    names = [f"{'a' * 30}{number:05}" for number in range(5_000)] + ["a" * 1_000] * 3

    assert did_you_mean(f"{'a' * 30}0000", names)
    assert not did_you_mean("a" * 900, names)

    # difflib asks twice of those that are close.
    assert len(compared) <= 2 * MAX_COMPARED_NAMES
    assert max(compared) <= 2 * MAX_COMPARED_LENGTH

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.plan import NodeState
from workflows.step_scheduler import StepScheduler

SUCCEEDED, FAILED, SKIPPED, CANCELLED = NodeState.SUCCEEDED, NodeState.FAILED, NodeState.SKIPPED, NodeState.CANCELLED
PENDING, RUNNING = NodeState.PENDING, NodeState.RUNNING

Graph = dict[str, tuple[str, ...]]
#: How each node ends when it runs.
Endings = dict[str, NodeState]

DIAMOND: Graph = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A DAG whose document order says nothing about who comes first; an edge may stand there twice."""
    count = draw(st.integers(min_value=1, max_value=12))
    names = [f"n{number}" for number in range(count)]
    edges = {
        name: tuple(draw(st.lists(st.sampled_from(names[:position]), max_size=4))) if position else ()
        for position, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


@st.composite
def graphs_with_endings(draw: st.DrawFn, *endings: NodeState) -> tuple[Graph, Endings]:
    graph = draw(graphs())
    return graph, {node_id: draw(st.sampled_from(endings)) for node_id in graph}


def drive(
    scheduler: StepScheduler,
    endings: Endings,
    *,
    choose: Callable[[list[str]], int] = lambda _: 0,
    at_most: int | None = None,
) -> list[tuple[str, str]]:
    """Runs to the end, or `at_most` so many endings, `choose` saying which running node ends next; what happened."""
    happened: list[tuple[str, str]] = []
    running: list[str] = []
    ended = 0
    while True:
        for node_id in scheduler.take_ready():
            running.append(node_id)
            happened.append(("began", node_id))
        if not running or ended == at_most:
            return happened
        node_id = running.pop(choose(running))
        scheduler.finish(node_id, endings[node_id])
        happened.append(("ended", node_id))
        ended += 1


def expected_states(graph: Graph, endings: Endings) -> Endings:
    """How a run must end that nothing stops, said without counters and queues."""
    states: Endings = {}
    while len(states) < len(graph):
        for node_id, before in graph.items():
            if node_id in states or any(dependency not in states for dependency in before):
                continue
            found = {states[dependency] for dependency in before}
            if found - {SUCCEEDED, SKIPPED}:
                states[node_id] = PENDING
            elif found == {SKIPPED}:
                states[node_id] = SKIPPED
            else:
                states[node_id] = endings[node_id]
    return states


@given(graphs_with_endings(SUCCEEDED, SKIPPED), st.data())
def test_every_node_ends_exactly_once_and_begins_after_all_it_waits_for(
    sample: tuple[Graph, Endings], data: st.DataObject
) -> None:
    graph, endings = sample
    scheduler = StepScheduler(graph)

    happened = drive(scheduler, endings, choose=lambda running: data.draw(st.integers(0, len(running) - 1)))

    ran = [node_id for event, node_id in happened if event == "began"]
    assert len(set(ran)) == len(ran)
    assert sorted(ran) == sorted(node_id for event, node_id in happened if event == "ended")
    for node_id in ran:
        earlier = set(happened[: happened.index(("began", node_id))])
        assert all(("ended", before) in earlier for before in graph[node_id] if before in ran)
    assert {SKIPPED} >= {state for node_id, state in scheduler.states.items() if node_id not in ran}
    assert 0 == scheduler.running


@given(graphs_with_endings(SUCCEEDED, SKIPPED, FAILED, CANCELLED), st.data())
def test_states_at_the_end_do_not_depend_on_who_ended_first(sample: tuple[Graph, Endings], data: st.DataObject) -> None:
    graph, endings = sample
    scheduler = StepScheduler(graph)

    drive(scheduler, endings, choose=lambda running: data.draw(st.integers(0, len(running) - 1)))

    assert expected_states(graph, endings) == scheduler.states


@given(graphs_with_endings(SUCCEEDED, SKIPPED, FAILED), st.data())
def test_a_scheduler_restored_from_what_ended_goes_on_as_the_first_one_would(
    sample: tuple[Graph, Endings], data: st.DataObject
) -> None:
    graph, endings = sample
    first = StepScheduler(graph)
    drive(first, endings, at_most=data.draw(st.integers(0, len(graph))))
    ended = [(node_id, state) for node_id, state in first.states.items() if state not in {PENDING, RUNNING}]
    interrupted = {node_id for node_id, state in first.states.items() if state is RUNNING}

    restored = StepScheduler(graph, dict(data.draw(st.permutations(ended))))

    assert {k: PENDING if k in interrupted else v for k, v in first.states.items()} == restored.states
    assert interrupted == {node_id for _, node_id in drive(restored, endings, at_most=0)}
    again = StepScheduler(graph, dict(ended))
    drive(again, endings)
    assert expected_states(graph, endings) == again.states


@given(graphs(), st.data())
def test_what_is_ready_begins_before_anything_else_has_to_end(graph: Graph, data: st.DataObject) -> None:
    scheduler = StepScheduler(graph)
    ended: set[str] = set()
    running: set[str] = set()

    while True:
        running.update(scheduler.take_ready())
        assert {node_id for node_id, before in graph.items() if set(before) <= ended} - ended == running
        if not running:
            break
        node_id = data.draw(st.sampled_from(sorted(running)))
        running.remove(node_id)
        ended.add(node_id)
        scheduler.finish(node_id, SUCCEEDED)

    assert set(graph) == ended


def test_a_node_begins_while_a_sibling_of_its_dependency_still_runs() -> None:
    scheduler = StepScheduler({"slow": (), "quick": (), "after_quick": ("quick",), "after_slow": ("slow",)})
    assert ["slow", "quick"] == list(scheduler.take_ready())

    scheduler.finish("quick", SUCCEEDED)

    assert ["after_quick"] == list(scheduler.take_ready())
    assert RUNNING is scheduler.states["slow"]
    assert 2 == scheduler.running


def test_a_node_that_ends_while_ready_ones_are_taken_hands_on_at_once() -> None:
    scheduler = StepScheduler({"a": (), "b": ("a",), "c": ()})
    taken: list[str] = []

    for node_id in scheduler.take_ready():
        taken.append(node_id)
        scheduler.finish(node_id, SUCCEEDED)

    assert ["a", "c", "b"] == taken


@pytest.mark.parametrize("end", [SUCCEEDED, FAILED, SKIPPED, CANCELLED])
def test_finishing_twice_is_refused(end: NodeState) -> None:
    scheduler = StepScheduler({"a": (), "b": ("a",)})
    list(scheduler.take_ready())
    scheduler.finish("a", end)

    with pytest.raises(ValueError, match=f"node 'a' is {end}, not running"):
        scheduler.finish("a", SUCCEEDED)

    assert end is scheduler.states["a"]


def test_finishing_what_has_not_begun_is_refused() -> None:
    scheduler = StepScheduler(DIAMOND)

    with pytest.raises(ValueError, match="node 'd' is pending, not running"):
        scheduler.finish("d", SUCCEEDED)


@pytest.mark.parametrize("state", [PENDING, RUNNING])
def test_a_node_cannot_end_in_a_state_that_is_no_end(state: NodeState) -> None:
    scheduler = StepScheduler({"a": (), "b": ("a",)})
    list(scheduler.take_ready())

    with pytest.raises(ValueError, match=f"node 'a' cannot end as {state}"):
        scheduler.finish("a", state)

    assert 1 == scheduler.running


def test_what_only_skipped_nodes_lead_to_is_skipped_down_to_the_last() -> None:
    chain: Graph = {"n0": ()} | {f"n{number}": (f"n{number - 1}",) for number in range(1, 5_000)}
    scheduler = StepScheduler(chain)
    list(scheduler.take_ready())

    scheduler.finish("n0", SKIPPED)

    assert {SKIPPED} == set(scheduler.states.values())
    assert [] == list(scheduler.take_ready())


def test_two_arms_of_a_condition_meet_again() -> None:
    scheduler = StepScheduler(DIAMOND)
    drive(scheduler, {"a": SUCCEEDED, "b": SKIPPED, "c": SUCCEEDED, "d": SUCCEEDED})

    assert {"a": SUCCEEDED, "b": SKIPPED, "c": SUCCEEDED, "d": SUCCEEDED} == scheduler.states


@pytest.mark.parametrize("end", [FAILED, CANCELLED])
def test_nothing_begins_behind_a_node_that_did_not_end_well(end: NodeState) -> None:
    scheduler = StepScheduler(DIAMOND)

    happened = drive(scheduler, {"a": SUCCEEDED, "b": end, "c": SUCCEEDED, "d": SUCCEEDED})

    assert ("began", "d") not in happened
    assert PENDING is scheduler.states["d"]


def test_after_a_stop_nothing_begins_and_what_runs_may_finish() -> None:
    scheduler = StepScheduler({"a": (), "b": ("a",), "c": ()})
    assert "a" == next(iter(scheduler.take_ready()))

    scheduler.stop()
    scheduler.finish("a", SUCCEEDED)

    assert [] == list(scheduler.take_ready())
    assert {"a": SUCCEEDED, "b": PENDING, "c": PENDING} == scheduler.states


def test_a_stop_holds_in_the_midst_of_taking() -> None:
    scheduler = StepScheduler({"a": (), "b": (), "c": ()})
    taken: list[str] = []

    for node_id in scheduler.take_ready():
        taken.append(node_id)
        scheduler.stop()

    assert ["a"] == taken


def test_cancelling_ends_what_has_not_ended_and_nothing_else() -> None:
    scheduler = StepScheduler({"done": (), "stopped": (), "waits": ("stopped",), "ready": ("done",)})
    list(scheduler.take_ready())
    scheduler.finish("done", SUCCEEDED)

    scheduler.cancel_rest()

    assert [] == list(scheduler.take_ready())
    assert {"done": SUCCEEDED, "stopped": CANCELLED, "waits": CANCELLED, "ready": CANCELLED} == scheduler.states


def test_a_node_that_only_ran_when_the_history_ended_runs_again() -> None:
    scheduler = StepScheduler(DIAMOND, {"a": SUCCEEDED, "b": RUNNING, "c": PENDING})

    assert ["b", "c"] == list(scheduler.take_ready())


def test_states_stand_in_document_order() -> None:
    assert ["z", "a", "m"] == list(StepScheduler({"z": ("a",), "a": (), "m": ("z",)}).states)


def test_a_graph_without_nodes_has_nothing_to_do() -> None:
    assert [] == list(StepScheduler({}).take_ready())


def test_every_edge_is_looked_at_once_so_large_graphs_are_no_trouble() -> None:
    layers = [[f"n{layer}_{number}" for number in range(100)] for layer in range(10)]
    graph: Graph = dict.fromkeys(layers[0], ())
    for before, layer in pairwise(layers):
        graph |= {node_id: tuple(before) for node_id in layer}
    scheduler = StepScheduler(graph)

    happened = drive(scheduler, dict.fromkeys(graph, SUCCEEDED))

    assert 2 * len(graph) == len(happened)
    assert {SUCCEEDED} == set(scheduler.states.values())


def test_what_depends_on_a_tolerated_failure_begins_and_on_another_does_not() -> None:
    scheduler = StepScheduler({"a": [], "b": [], "after_a": ["a"], "after_b": ["b"]}, tolerated=["a"])
    list(scheduler.take_ready())

    scheduler.finish("a", NodeState.FAILED)
    scheduler.finish("b", NodeState.FAILED)

    assert ["after_a"] == list(scheduler.take_ready())


def test_a_tolerated_failure_of_an_earlier_part_of_the_run_counts_as_well() -> None:
    scheduler = StepScheduler({"a": [], "after": ["a"]}, {"a": NodeState.FAILED}, tolerated=["a"])

    assert ["after"] == list(scheduler.take_ready())

from dataclasses import replace

import pytest

from agentflow.errors import BlobCorrupt
from agentflow.money import MicroUsd
from runs.plan import (
    PLAN_FORMAT,
    Binding,
    Fact,
    Leaf,
    NodeState,
    NodeType,
    Plan,
    PlanNode,
    RetryPlan,
    StepPolicy,
    TimeoutPlan,
)
from runs.rerun_plan import (
    ALL_INPUTS,
    NodeDecision,
    NodeResult,
    ReuseManifest,
    decode_manifest,
    encode_manifest,
    inputs_read,
    plan_rerun,
    reads_inputs,
)


def node(node_id: str, source: str = "1", *, upstream: tuple[str, ...] = ()) -> PlanNode:
    leaf = Leaf(
        kind="function",
        target="json_projection",
        arguments={"value": Binding(kind="expression", source=source)},
        policy=StepPolicy(),
    )
    return PlanNode(
        node_id=node_id,
        type="function",
        leaf=leaf,
        upstream=upstream,
        retry=RetryPlan(),
        timeout=TimeoutPlan(run_seconds=60, idle_seconds=5),
    )


def plan(*nodes: PlanNode) -> Plan:
    return Plan(format=PLAN_FORMAT, name="diamond", version=1, nodes=nodes)


#:    a ─> b ─> d, a ─> c ─> d
DIAMOND = plan(
    node("d", "b.output.value + c.output.value", upstream=("b", "c")),
    node("a", "inputs.text"),
    node("b", "a.output.value", upstream=("a",)),
    node("c", "language", upstream=("a",)),
)


def done(digest: str | None = "d") -> NodeResult:
    return NodeResult(state=NodeState.SUCCEEDED, output_digest=digest, cost_micro_usd=MicroUsd(7))


ALL_DONE = {node_id: done(node_id) for node_id in "abcd"}


def again(decisions: tuple[NodeDecision, ...]) -> dict[str, str]:
    return {decision.node_id: decision.reason for decision in decisions if not decision.reused}


def decide(
    new: Plan = DIAMOND,
    results: dict[str, NodeResult] = ALL_DONE,
    *,
    from_nodes: tuple[str, ...] = (),
    changed: tuple[str, ...] = (),
    failed_items: dict[str, int] | None = None,
) -> tuple[NodeDecision, ...]:
    return plan_rerun(
        earlier=DIAMOND,
        plan=new,
        results=results,
        from_nodes=from_nodes,
        changed_inputs=changed,
        failed_items=failed_items,
    )


def test_what_nothing_has_changed_for_is_taken_over() -> None:
    assert {} == again(decide())


def test_a_named_node_runs_again_with_all_that_comes_after_it() -> None:
    assert {"b": "it was asked for", "d": "'b' before it runs again"} == again(decide(from_nodes=("b",)))


def test_a_map_with_failed_items_runs_again_for_those_and_then_what_comes_after_it() -> None:
    decisions = decide(failed_items={"b": 1_200})

    assert {"b": "1,200 of its items failed", "d": "'b' before it runs again"} == again(decisions)
    assert ["b"] == [decision.node_id for decision in decisions if decision.redrive]


def test_a_changed_input_touches_only_what_reads_it() -> None:
    assert {"c", "d"} == again(decide(changed=("language",))).keys()
    assert "abcd" == "".join(sorted(again(decide(changed=("text",)))))
    assert {} == again(decide(changed=("nobody_reads_this",)))


def test_what_is_final_runs_again_with_whatever_runs_again() -> None:
    final = (replace(node("tell"), is_final=True), replace(node("then", upstream=("tell",)), is_final=True))
    ended = plan(*final, *DIAMOND.nodes)
    results = {**ALL_DONE, "tell": done(), "then": done()}

    def again_from(*nodes: str) -> dict[str, str]:
        return again(plan_rerun(earlier=ended, plan=ended, results=results, from_nodes=nodes, changed_inputs=()))

    assert {} == again_from()
    assert {"d": "it was asked for", "tell": "'d' before it runs again", "then": "'d' before it runs again"} == (
        again_from("d")
    )
    assert {"then"} == again_from("then").keys()


def test_an_edited_node_runs_again() -> None:
    edited = plan(*(node("c", "'new'", upstream=("a",)) if one.node_id == "c" else one for one in DIAMOND.nodes))

    assert {"c": "its definition has changed", "d": "'c' before it runs again"} == again(decide(edited))


def test_what_scheduling_needs_to_know_of_a_node_does_not_change_it() -> None:
    asked = plan(*(replace(one, facts=(Fact(path=("value",), kind="value"),)) for one in DIAMOND.nodes))

    assert {} == again(decide(asked))


def test_a_new_node_runs() -> None:
    grown = plan(*DIAMOND.nodes, node("e", "d.output.value", upstream=("d",)))

    assert {"e": "it is new"} == again(decide(grown))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (NodeResult(state=NodeState.FAILED, output_digest=None), "it was failed"),
        (NodeResult(state=NodeState.CANCELLED, output_digest=None), "it was cancelled"),
        (done(None), "its output was not recorded"),
    ],
)
def test_what_did_not_end_well_runs_again(result: NodeResult, reason: str) -> None:
    decisions = decide(results={**ALL_DONE, "b": result})

    assert {"b": reason, "d": "'b' before it runs again"} == again(decisions)


def test_a_skipped_node_stays_skipped() -> None:
    assert {} == again(decide(results={**ALL_DONE, "b": NodeResult(state=NodeState.SKIPPED, output_digest=None)}))


@pytest.mark.parametrize("kind", ["map", "workflow"])
def test_only_what_failed_itself_takes_over_its_parts(kind: NodeType) -> None:
    as_map = plan(*(replace(one, type=kind) if one.node_id in {"b", "d"} else one for one in DIAMOND.nodes))
    failed = NodeResult(state=NodeState.FAILED, output_digest=None)
    decisions = plan_rerun(
        earlier=as_map, plan=as_map, results={**ALL_DONE, "b": failed, "d": failed}, from_nodes=(), changed_inputs=()
    )

    assert {"b"} == {decision.node_id for decision in decisions if decision.redrive}


def test_what_a_node_cost_is_told_where_it_ran() -> None:
    decisions = {decision.node_id: decision for decision in decide(results={"a": done()})}

    assert (7, None) == (decisions["a"].earlier_cost_micro_usd, decisions["b"].earlier_cost_micro_usd)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("inputs.text", {"text"}),
        ("text + language", {"text", "language"}),
        ("size(inputs)", {ALL_INPUTS}),
        ("a.output.value", set()),
        ("item.text + string(index)", set()),
    ],
)
def test_the_inputs_that_an_expression_reads_are_known(source: str, names: set[str]) -> None:
    assert names == inputs_read(replace(node("x", source), type="map"), {"a"})


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("item.text + string(index)", False),
        ("a.output.value", False),
        ("[1, 2].map(n, n * 2)", False),
        ("inputs.text", True),
        ("text", True),
        ("size(inputs)", True),
        ("item.n in numbers", True),
    ],
)
def test_it_is_known_whether_a_step_must_load_the_inputs(source: str, reads: bool) -> None:
    one = node("x", source)

    leaf = replace(one.leaf, reads=("a",))
    assert reads == reads_inputs(replace(one, type="map", leaf=leaf, over_root="inputs"), leaf)


def test_a_condition_and_the_list_of_a_map_read_inputs_too() -> None:
    reading = replace(node("x"), when="inputs.wanted", over_root="inputs", over_path=("texts",))

    assert {"wanted", "texts"} == inputs_read(reading, set())


def test_an_input_may_have_the_name_of_what_maps_go_over() -> None:
    assert {"items"} == inputs_read(node("x", "items"), set())
    assert {"item"} == inputs_read(replace(node("x", "item.text"), type="map", when="item == 'a'"), set())
    assert set() == inputs_read(replace(node("x", "items"), type="reduce"), set())


def test_a_literal_of_another_type_is_another_definition() -> None:
    def literal(value: object) -> Plan:
        one = node("a")
        return plan(replace(one, leaf=replace(one.leaf, arguments={"v": Binding(kind="literal", value=value)})))

    decisions = plan_rerun(
        earlier=literal(1), plan=literal(True), results={"a": done()}, from_nodes=(), changed_inputs=()
    )

    assert {"a": "its definition has changed"} == again(decisions)


def test_a_whole_read_of_the_inputs_is_touched_by_any_change() -> None:
    whole = plan(node("a", "inputs"))
    decisions = plan_rerun(
        earlier=whole, plan=whole, results={"a": done()}, from_nodes=(), changed_inputs=("anything",)
    )

    assert {"a": "input 'anything' has changed"} == again(decisions)


def test_a_manifest_survives_being_stored() -> None:
    manifest = ReuseManifest(of="run_1", nodes={"a": done()}, redrive={"b": "run_0"})

    assert manifest == decode_manifest(*encode_manifest(manifest))
    with pytest.raises(BlobCorrupt):
        decode_manifest("d", b'{"of": 1}')

"""Nodes that stand as bodies: each is the one node of a run below, and sees what the body sees."""

import json

import pytest

from runs.plan import BODIES_FORMAT, PLAN_FORMAT, Binding, Fact, Leaf, decode_plan, encode_plan
from tests.unit.workflows.sample_catalog import SPLIT, compiled, node, places_of, problems_of, workflow
from workflows.graph_view import graph_of

_COLLECT = "{type: function, config: {function_name: collect, inputs: %s}}"


def over(node_id: str, over: str, body: str, *, kind: str = "map", more: str = "") -> str:
    return f"- {{id: {node_id}, type: {kind}, config: {{over: {over}, body: {body}}}{more}}}\n"


def agent(inputs: str, more: str = "") -> str:
    return f"{{type: agent, config: {{prompt_ref: free@1, tools: [echo], inputs: {inputs}{more}}}}}"


def body_of(text: str, node_id: str = "each") -> Leaf:
    return compiled(text).node(node_id).leaf


def test_an_agent_for_each_item_is_a_run_below_with_what_it_reads() -> None:
    inputs = "{topic: item.topic, at: index, chunks: split.output.chunks, how: split.status, tone: inputs.tone, by: by}"

    leaf = body_of(workflow(SPLIT, over("each", "inputs.topics", agent(inputs, ", max_iterations: 3"))))

    split = {name: Binding(kind="given", source=f"split.{name}") for name in ("output", "status")}
    assert ("workflow", "inline", "output", ("split",)) == (leaf.kind, leaf.target, leaf.result, leaf.reads)
    assert {
        "item": Binding(kind="expression", source="item"),
        "index": Binding(kind="expression", source="index"),
        "split": Binding(kind="literal", shape="mapping", members=split),
        "tone": Binding(kind="given", source="inputs.tone"),
        "by": Binding(kind="given", source="inputs.by"),
    } == leaf.arguments
    assert leaf.plan is not None
    (answering,) = leaf.plan.nodes
    assert ("each", "agent") == (answering.node_id, answering.type)
    assert answering.agent is not None
    assert (3, ["echo"]) == (answering.agent.max_iterations, [tool.name for tool in answering.agent.tools])
    assert "item.topic" == answering.leaf.arguments["topic"].source
    assert {"output": Binding(kind="expression", source="each.output")} == leaf.plan.outputs
    assert ["index", "item", "split"] == sorted((leaf.plan.inputs_schema or {})["required"])


def test_what_a_body_reads_makes_an_edge_and_inputs_of_the_run() -> None:
    plan = compiled(workflow(SPLIT, over("each", "inputs.topics", agent("{t: split.output.chunks, tone: tone}"))))

    assert ("split",) == plan.node("each").upstream
    assert {"key", "topics", "tone"} == set((plan.inputs_schema or {})["required"])


def test_a_map_in_a_map_goes_over_a_part_of_the_item() -> None:
    collect = _COLLECT % "{part: item, at: index}"
    inner = f"{{type: map, config: {{over: item.parts, window: 2, max_items: 100, body: {collect}}}}}"

    leaf = body_of(workflow(over("each", "inputs.groups", inner)))

    assert leaf.plan is not None
    (below,) = leaf.plan.nodes
    assert ("map", "inputs", ("item", "parts"), 2) == (below.type, below.over_root, below.over_path, below.window)
    assert {"item": Binding(kind="expression", source="item")} == leaf.arguments
    assert (Fact(path=("item", "parts"), kind="size"),) == leaf.plan.input_facts


def test_a_loop_of_a_reduction_sees_both_what_is_its_own_and_what_is_not() -> None:
    reduction = f"{{type: reduce, config: {{over: split.output.chunks, body: {_COLLECT % '{of: items, last: last}'}}}}}"
    loop = f"- {{id: each, type: loop, config: {{max_iterations: 3, body: {reduction}}}}}\n"

    leaf = body_of(workflow(SPLIT, loop))

    assert {"split", "last"} == set(leaf.arguments)


def test_the_options_of_a_node_are_those_of_the_node_in_its_body() -> None:
    options = ", retry: {attempts: 2}, timeout: 7, policy: {pii: block}"

    leaf = body_of(workflow(over("each", "inputs.topics", agent("{t: item}"), more=options)))

    assert leaf.plan is not None
    (below,) = leaf.plan.nodes
    assert (2, 7.0, "block") == (below.retry.attempts, below.timeout.run_seconds, below.leaf.policy.pii)


def test_a_branch_of_a_race_may_be_a_node_with_options_of_its_own() -> None:
    quick, careful = agent("{t: inputs.t}")[:-1] + ", timeout: 3}", agent("{t: inputs.t}")[:-1] + ", after: 2s}"
    race = f"- {{id: each, type: race, timeout: 9, config: {{branches: {{quick: {quick}, careful: {careful}}}}}}}\n"

    branches = compiled(workflow(race)).node("each").branches

    plans = {name: branch.leaf.plan for name, branch in branches.items()}
    assert [3.0, 9.0] == [plan.nodes[0].timeout.run_seconds for plan in plans.values() if plan is not None]
    assert [0.0, 2.0] == [branch.after_seconds for branch in branches.values()]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (agent("{t: splitt.output.chunks}"), ("unknown_node", "config.body.config.inputs.t")),
        (agent("{t: each.output}"), ("not_upstream", "config.body.config.inputs.t")),
        (agent("{t: split.output.no}"), ("unknown_field", "config.body.config.inputs.t")),
        (agent("{t: 'a +'}"), ("invalid_expression", "config.body.config.inputs.t")),
        (agent("{t: 555-1234}"), ("looks_like_text", "config.body.config.inputs.t")),
        (agent("{t: inputs}"), ("unusable_reference", "config.body.config.inputs.t")),
        (agent("{t: inputs.item, u: item}"), ("unusable_reference", "config.body.config.inputs.u")),
        (agent("{t: split.output, u: inputs.split}"), ("unusable_reference", "config.body.config.inputs.u")),
        (agent("{t: inputs.split, u: split.output}"), ("unusable_reference", "config.body.config.inputs.u")),
        (agent("{}", ", max_iterations: 0"), ("wrong_type", "config.body.config.max_iterations")),
        (
            agent("{}", ", tools: [ecko]").replace("tools: [echo], ", ""),
            ("unknown_tool", "config.body.config.tools[0]"),
        ),
        ("{type: wait, config: {for: 1}}", ("wrong_type", "config.body.type")),
        ("{type: map, config: {over: item}}", ("missing", "config.body.config.body")),
        (
            "{type: map, config: {over: item + 1, body: " + _COLLECT % "{}" + "}}",
            ("invalid_expression", "config.body.config.over"),
        ),
    ],
)
def test_what_is_wrong_in_a_body_is_told_once_where_it_stands(body: str, expected: tuple[str, str]) -> None:
    problems = problems_of(workflow(SPLIT, over("each", "inputs.topics", body)))

    assert [(expected[0], f"$.nodes[1].{expected[1]}")] == [(problem.code, problem.path) for problem in problems]


def test_bodies_in_bodies_have_an_end() -> None:
    body = _COLLECT % "{}"
    for _ in range(9):
        body = f"{{type: map, config: {{over: item, body: {body}}}}}"

    assert {"nested_too_deep"} == {problem.code for problem in problems_of(workflow(over("each", "inputs.l", body)))}


def test_a_body_that_comes_to_too_many_steps_is_told_at_the_node_around_it() -> None:
    body = _COLLECT % "{}"
    for _ in range(2):
        body = f"{{type: map, config: {{over: item, max_items: 1000000, body: {body}}}}}"

    assert ["too_large"] == [code for code, *_ in places_of(workflow(over("each", "inputs.l", body)))]


def test_an_answer_has_the_type_that_its_schema_says() -> None:
    schema = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False})
    reads = node("after", inputs="{a: 'each.output[0].n', b: 'each.output[0].m'}")

    problems = problems_of(workflow(over("each", "inputs.l", agent("{t: item}", f", output_schema: {schema}")), reads))

    assert [("unknown_field", "$.nodes[1].config.inputs.b")] == [(each.code, each.path) for each in problems]


def test_a_drawing_shows_what_the_node_in_a_body_does() -> None:
    inner = f"{{type: map, config: {{over: item, max_items: 9, body: {agent('{t: item}')}}}}}"

    [drawn] = graph_of(compiled(workflow(over("each", "inputs.groups", inner))))

    assert ("map of map of agent free@1", ("over inputs.groups", "window 4")) == (drawn.does, drawn.details)


def test_a_plan_with_such_a_body_has_a_format_that_older_code_refuses() -> None:
    inside = inline_of(over("each", "inputs.l", agent("{t: item}")))

    plans = [compiled(workflow(text)) for text in (node("plain"), over("each", "inputs.l", agent("{t: item}")), inside)]

    assert [PLAN_FORMAT, BODIES_FORMAT, BODIES_FORMAT] == [plan.format for plan in plans]
    assert plans == [decode_plan(*encode_plan(plan)) for plan in plans]


def inline_of(line: str) -> str:
    config = f"{{inputs: {{l: inputs.l}}, nodes: [{line.removeprefix('- ').strip()}]}}"
    return f"- {{id: outer, type: workflow, config: {config}}}\n"

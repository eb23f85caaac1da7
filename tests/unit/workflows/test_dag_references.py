import pytest

from runs.plan import encode_plan
from tests.unit.workflows.sample_catalog import compiled, llm, mapping, node, problems_of, workflow

_READING = "{type: function, config: {function_name: collect, inputs: {x: a.output}}}"
_TOOL = "{tool_name: echo, tool_args: {to: ['{{ a.output }}']}}"
#: A node `b` that reads `a` in each place where an expression may stand.
_READERS = {
    "an argument": node("b", inputs="{x: 'size(a.output) + 1'}"),
    "a nested argument": node("b", inputs="{x: [{y: [a.output.z]}]}"),
    "a text with braces": node("b", inputs="{x: 'see {{ a.output }}'}"),
    "a tool's argument": f"- {{id: b, type: tool, config: {_TOOL}}}\n",
    "an argument of a prompt": llm("b", inputs="{x: a.output}"),
    "a condition": node("b", more=", when: a.output.n > 1"),
    "a status": node("b", more=", when: \"a.status == 'skipped'\""),
    "a list": mapping("b", "a.output.list"),
    "a map's body": mapping("b", "list", body="{x: a.output, y: item}"),
    "a reduction's body": mapping("b", "list", kind="reduce", body="{x: a.output, y: items}"),
    "a loop's body": f"- {{id: b, type: loop, config: {{max_iterations: 2, body: {_READING}}}}}\n",
    "a loop's end": "- {id: b, type: loop, config: {max_iterations: 2, until: a.output == last,"
    " body: {type: function, config: {function_name: collect}}}}\n",
    "a branch": f"- {{id: b, type: race, config: {{branches: {{one: {_READING}, two: {_READING}}}}}}}\n",
    "a compensation": node("b", more=f", compensate: {_READING}"),
    "an approval's message": "- {id: b, type: approval, config: {message: 'Send {{ a.output }}?'}}\n",
    "what is to be approved": "- {id: b, type: approval, config: {message: Send?, show: {x: a.output}}}\n",
    "an instant": "- {id: b, type: wait, config: {until: a.output.due}}\n",
    "an event": "- {id: b, type: wait, config: {event: 'paid {{ a.output.order }}'}}\n",
    "the inputs of nodes inside": "- {id: b, type: workflow, config: {inputs: {x: a.output}, nodes: ["
    "{id: c, type: function, config: {function_name: collect, inputs: {x: x}}}]}}\n",
}


@pytest.mark.parametrize("reader", _READERS.values(), ids=_READERS)
@pytest.mark.parametrize("reader_is_first", [True, False])
def test_what_a_node_reads_comes_before_it_without_an_edge(reader: str, *, reader_is_first: bool) -> None:
    nodes = [reader, node("a")] if reader_is_first else [node("a"), reader]

    plan = compiled(workflow(*nodes))

    assert ("a",) == plan.node("b").upstream
    assert () == plan.node("a").upstream


def test_nodes_inside_a_node_read_each_other_and_none_outside() -> None:
    inner = "{id: d, type: function, config: {function_name: collect, inputs: {x: c.output}}}"
    first = "{id: c, type: function, config: {function_name: collect}}"
    plan = compiled(workflow(node("c"), f"- {{id: b, type: workflow, config: {{nodes: [{inner}, {first}]}}}}\n"))

    below = plan.node("b").leaf.plan

    assert () == plan.node("b").upstream
    assert below is not None
    assert ("c",) == below.node("d").upstream


def test_an_edge_that_follows_from_others_is_not_added() -> None:
    chain = [node("a"), node("b", more=", depends: [a]")]
    reading = compiled(workflow(*chain, node("c", inputs="{x: a.output}", more=", depends: [b]")))

    assert ("b",) == reading.node("c").upstream


def test_the_plan_is_that_of_the_document_with_the_edge_written_out() -> None:
    reader = node("b", inputs="{x: a.output}")

    implied = compiled(workflow(node("a"), reader))
    written = compiled(workflow(node("a"), reader, edges=[("a", "b")]))

    assert encode_plan(written) == encode_plan(implied)


def test_nodes_of_finally_wait_for_those_of_finally_that_they_read_only() -> None:
    final = f"finally:\n{node('d', inputs='{x: c.output, y: a.output}')}{node('c', inputs='{x: a.output}')}"

    plan = compiled(workflow(node("a")) + final)

    assert [(), ("c",), ()] == [plan.node(node_id).upstream for node_id in ("a", "d", "c")]


def test_names_of_a_body_are_no_nodes() -> None:
    body = "{type: function, config: {function_name: collect, inputs: {x: last.output}}}"
    looping = f"- {{id: b, type: loop, config: {{max_iterations: 2, body: {body}, until: last.output.done}}}}\n"

    assert () == compiled(workflow(node("last"), looping)).node("b").upstream


def test_a_condition_over_outcomes_may_stand_beside_what_is_read() -> None:
    judging = node("c", inputs="{x: a.output}", more=", depends: b.failed || b.succeeded")

    assert ("b", "a") == compiled(workflow(node("a"), node("b"), judging)).node("c").upstream


def test_nodes_that_read_each_other_are_told_with_the_circle_and_where_it_stands() -> None:
    (problem,) = problems_of(
        workflow(
            node("a", inputs="{x: c.output}"),
            node("b", more=", depends: [a]"),
            node("c", inputs="{y: {z: b.output}}"),
        )
    )

    assert ("cycle", 5, "$.nodes[2].config.inputs.y.z") == (problem.code, problem.line, problem.path)
    assert "a → b → c → a" in problem.message
    assert "c reads b at $.nodes[2].config.inputs.y.z" in problem.message
    assert "a reads c at $.nodes[0].config.inputs.x" in problem.message


@pytest.mark.parametrize("more", ["", ", depends: [b]"])
def test_a_node_that_reads_itself_is_told_where_it_does(more: str) -> None:
    (problem,) = problems_of(workflow(node("b"), node("a", inputs="{x: a.output}", more=more)))

    assert ("not_upstream", 4, "$.nodes[1].config.inputs.x") == (problem.code, problem.line, problem.path)


def test_nothing_reads_what_comes_after_everything_else() -> None:
    (problem,) = problems_of(workflow(node("a", inputs="{x: z.output}")) + f"finally:\n{node('z')}")

    assert ("not_upstream", "$.nodes[0].config.inputs.x") == (problem.code, problem.path)

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.plan import decode_plan, encode_plan
from tests.unit.workflows.sample_catalog import (
    CATALOG,
    compiled,
    llm,
    node,
    places_of,
    problems_of,
    watch_network,
    workflow,
)
from workflows.dag_compiler import compile_dag
from workflows.dag_document import MAX_PROBLEMS, document_from_data, parse_document
from workflows.dag_spec import MAX_NODES
from workflows.errors import SpecInvalid, SpecUnreadable


def test_the_nodes_of_finally_count_among_those_that_a_document_may_have() -> None:
    nodes = [{"id": f"n{n}", "type": "function", "config": {"function_name": "collect"}} for n in range(MAX_NODES)]
    last = {"id": "last", "type": "function", "config": {"function_name": "collect"}}
    fits = {"name": "wide", "nodes": nodes[1:], "finally": [last]}

    plan = compile_dag(document_from_data(fits), CATALOG)
    with pytest.raises(SpecInvalid, match="`finally`"):
        compile_dag(document_from_data({**fits, "nodes": nodes}), CATALOG)

    assert MAX_NODES == len(plan.nodes)


@pytest.mark.parametrize(("head", "indent"), [("", ""), ("dag:\n", "  ")])
def test_problems_of_outputs_have_their_own_place(head: str, indent: str) -> None:
    text = f"name: x\n{head}{indent}outputs:\n{indent}  v: nope.output\n{indent}nodes:\n{indent}{node('a')}"

    (problem,) = problems_of(text)

    path = "$.dag.outputs.v" if head else "$.outputs.v"
    assert ("unknown_node", path, 4 if head else 3) == (problem.code, problem.path, problem.line)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("{type: 5}", ".type"),
        ("{type: text}", ".type"),
        ("{properties: 5}", ".properties"),
        ("{properties: [key]}", ".properties"),
        ("{properties: {key: 5}}", ".properties.key"),
        ("{required: key}", ".required"),
        ("{properties: {key: {minLength: -1}}}", ".properties.key.minLength"),
        ("{properties: {key: {pattern: '('}}}", ".properties.key.pattern"),
        ("{properties: {'a b': {type: 1}}}", '.properties["a b"].type'),
        ("{properties: {key: {$ref: '#/$defs/none'}}}", '.properties.key["$ref"]'),
        ("{properties: {key: {$ref: 'https://example.org/x.json'}}}", '.properties.key["$ref"]'),
        ("{properties: {key: {$ref: 'file:///etc/passwd'}}}", '.properties.key["$ref"]'),
        ("{$ref: 'http://['}", '["$ref"]'),
        ("{allOf: [{$ref: '#/allOf/x'}]}", '.allOf[0]["$ref"]'),
        ("{properties: {key: {pattern: 'a{99999999999999999999}'}}}", ".properties.key.pattern"),
    ],
)
def test_a_schema_that_cannot_be_used_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch, schema: str, path: str
) -> None:
    fetched = watch_network(monkeypatch)

    places = places_of(
        workflow(llm("a", inputs="{x: key}", more=f", output_schema: {schema}"), head=f"inputs: {schema}\n")
    )

    assert [
        ("invalid_schema", 2, f"$.inputs{path}"),
        ("invalid_schema", 4, f"$.nodes[0].config.output_schema{path}"),
    ] == places
    assert [] == fetched


@pytest.mark.parametrize("types", ["array", "string", "[object, array]"])
def test_inputs_are_an_object(types: str) -> None:
    assert [("wrong_type", 2, "$.inputs.type")] == places_of(workflow(node("a"), head=f"inputs: {{type: {types}}}\n"))


def test_what_the_catalog_does_not_have_is_told_with_what_to_do() -> None:
    problems = problems_of(
        workflow(
            "- {id: a, type: tool, config: {tool_name: s3.fetsh}}\n",
            node("b", function="zzz"),
            llm("c", prompt="document_analyzer@9"),
            llm("d", prompt="unheard_of@1"),
            "- {id: e, type: map, config: {over: x, body: {type: tool, config: {tool_name: zzz}}}}\n",
        )
    )

    assert [
        ("unknown_tool", 3, "$.nodes[0].config.tool_name", "there is no tool 's3.fetsh'; did you mean 's3.fetch'?"),
        ("unknown_function", 4, "$.nodes[1].config.function_name",
         "there is no function 'zzz'; there is 'collect', 'now', 'result_merger', 'text_splitter'"),
        ("unknown_prompt", 5, "$.nodes[2].config.prompt_ref",
         "there is no version 9 of 'document_analyzer'; the latest is 3"),
        ("unknown_prompt", 6, "$.nodes[3].config.prompt_ref", "there is no prompt 'unheard_of@1'"),
        ("unknown_tool", 7, "$.nodes[4].config.body.config.tool_name",
         "there is no tool 'zzz'; there is 'echo', 's3.fetch'"),
    ] == [(problem.code, problem.line, problem.path, problem.message) for problem in problems]  # fmt: skip


def test_a_cycle_is_told_with_its_path() -> None:
    (problem,) = problems_of(
        workflow(node("a"), node("b"), node("c"), node("d"), edges=[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")])
    )

    assert ("cycle", 4, "$.nodes[1]") == (problem.code, problem.line, problem.path)
    assert "the nodes wait for each other in a circle: b → c → d → b; remove one of these edges" == problem.message


def test_a_node_that_waits_for_itself_is_a_cycle() -> None:
    (problem,) = problems_of(workflow(node("a", more=", depends: [a]")))

    assert "a → a" in problem.message


def test_every_problem_is_told_at_once_from_top_to_bottom() -> None:
    text = """\
name: broken
outputs:
  result: nobody.output
inputs:
  type: list
nodes:
- id: split
  type: function
  config:
    function_name: text_splitter
    inputs: {text: 5, max: 3}
- id: split
  type: tool
  config:
    tool_name: s3.fetch
    tool_args: {bucket: "{{ a + }}"}
- id: analyze
  type: llm
  depends: [splitt]
  when: "1 +"
  config:
    prompt_ref: document_analyzer@9
- id: round
  type: function
  depends: [round]
  config:
    function_name: zzz
- id: each
  type: map
  config:
    over: split.status
    body: {type: llm, config: {prompt_ref: nothing@1, output_schema: {type: x}}}
edges:
- {from: split, to: nowhere}
"""

    assert [
        ("unknown_node", 3, "$.outputs.result"),
        ("invalid_schema", 5, "$.inputs.type"),
        ("unknown_argument", 11, "$.nodes[0].config.inputs.max"),
        ("wrong_type", 11, "$.nodes[0].config.inputs.text"),
        ("duplicate_id", 12, "$.nodes[1].id"),
        ("invalid_expression", 16, "$.nodes[1].config.tool_args.bucket"),
        ("missing", 16, "$.nodes[1].config.tool_args"),
        ("unknown_node", 19, "$.nodes[2].depends[0]"),
        ("invalid_expression", 20, "$.nodes[2].when"),
        ("unknown_prompt", 22, "$.nodes[2].config.prompt_ref"),
        ("cycle", 23, "$.nodes[3]"),
        ("unknown_function", 27, "$.nodes[3].config.function_name"),
        ("invalid_expression", 31, "$.nodes[4].config.over"),
        ("invalid_schema", 32, "$.nodes[4].config.body.config.output_schema.type"),
        ("unknown_prompt", 32, "$.nodes[4].config.body.config.prompt_ref"),
        ("unknown_node", 34, "$.edges[0].to"),
    ] == sorted(places_of(text), key=lambda place: (place[1] or 0, place[2] if place[1] != 16 else place[0]))


def test_what_only_follows_from_a_broken_graph_is_not_told_as_well() -> None:
    text = workflow(node("ingest"), node("use", inputs="{x: ingest.output}"), edges=[("ingset", "use")])

    assert [("unknown_node", 6, "$.edges[0].from")] == places_of(text)


def test_problems_of_a_document_without_lines_have_paths() -> None:
    data = parse_document(workflow(node("a", more=", depends: [b]"))).data

    with pytest.raises(SpecInvalid) as refusal:
        compile_dag(document_from_data(data), CATALOG)

    assert [(None, "$.nodes[0].depends[0]")] == [(found.line, found.path) for found in refusal.value.problems]


def test_the_error_lists_every_problem_for_people() -> None:
    with pytest.raises(SpecInvalid) as refusal:
        compiled(workflow(node("a", more=", depends: [b]"), node("c", function="zzz")))

    assert (
        "the workflow document has 2 problems:\n"
        "  line 3, $.nodes[0].depends[0]: there is no node 'b'; there is 'a', 'c'\n"
        "  line 4, $.nodes[1].config.function_name: there is no function 'zzz'; "
        "there is 'collect', 'now', 'result_merger', 'text_splitter'"
    ) == str(refusal.value)


def test_a_flood_of_wrong_references_is_cut() -> None:
    inputs = ", ".join(f"k{number}: nobody{number}.output" for number in range(2_000))

    problems = problems_of(workflow(node("a", inputs=f"{{{inputs}}}")))

    assert MAX_PROBLEMS + 1 == len(problems)
    assert "more_problems" == problems[-1].code


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 30, "!!float .nan", "!!float nan", "!!int nine"])
def test_numbers_that_no_plan_could_hold_never_reach_one(number: str) -> None:
    with pytest.raises(SpecUnreadable):
        compiled(workflow(f"- {{id: a, type: tool, config: {{tool_name: echo, tool_args: {{v: {number}}}}}}}\n"))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that are right here and wrong there."""
    names = st.sampled_from(["a", "b", "c", "inputs", "nope", "", "a b"])
    value: st.SearchStrategy[Any] = st.sampled_from(
        [
            "a.output",
            "b.output.x",
            "c.status",
            "inputs.k",
            "k",
            "1 +",
            "{{ a.output }}",
            "{{",
            "'x'",
            5,
            -1.5,
            None,
            True,
            [],
        ]
    )
    values = st.recursive(value, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2))
    arguments = st.dictionaries(st.sampled_from(["text", "max_characters", "content", "page", "z"]), values, max_size=3)
    leaf = st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("function"), "config": st.fixed_dictionaries(
                {"function_name": st.sampled_from([*CATALOG.functions, "zzz"]), "inputs": arguments})}
        ),
        st.fixed_dictionaries(
            {"type": st.just("llm"), "config": st.fixed_dictionaries(
                {"prompt_ref": st.sampled_from([*CATALOG.prompts, "zzz@1"]), "inputs": arguments})}
        ),
    )  # fmt: skip
    over = st.fixed_dictionaries(
        {"type": st.sampled_from(["map", "reduce"]), "config": st.fixed_dictionaries({"over": value, "body": leaf})}
    )
    count = draw(st.integers(1, 3))
    nodes = [
        {"id": draw(names), **draw(leaf | over), "depends": draw(st.lists(names, max_size=2)), **draw(
            st.fixed_dictionaries({}, optional={"when": value}))}
        for _ in range(count)
    ]  # fmt: skip
    edges = draw(st.lists(st.fixed_dictionaries({"from": names, "to": names}), max_size=2))
    return {"name": "x", "nodes": nodes, "edges": edges, "outputs": draw(st.dictionaries(names, values, max_size=2))}


@given(documents())
def test_every_document_is_a_plan_or_a_list_of_problems_with_lines(data: dict[str, Any]) -> None:
    try:
        plan = compiled(json.dumps(data, indent=1))
    except SpecInvalid as error:
        refusal = error
    else:
        assert plan == decode_plan(*encode_plan(plan))
        assert [node["id"] for node in data["nodes"]] == [node.node_id for node in plan.nodes]
        return
    assert refusal.problems
    assert all(problem.line and problem.column and problem.path for problem in refusal.problems)


def test_faults_of_form_and_of_meaning_are_told_together() -> None:
    text = """
name: everything
nodes:
  - id: fetch
    type: tool
    config: {tool_name: s3.fech, tool_args: {bucket: documents, key: a}}
  - id: broken
    type: llm
    config: {prompt_ref: free@1, max_tokens: -1}
    depends: [fetch]
  - id: after
    type: function
    depends: [broken, nowhere]
    config: {function_name: text_splitter, inputs: {text: broken.output, txt: "'x'"}}
  - id: broken
    type: function
    config: {function_name: collect}
"""

    told = {(problem.code, problem.path, problem.line) for problem in problems_of(text)}

    assert {
        ("unknown_tool", "$.nodes[0].config.tool_name", 6),
        ("wrong_type", "$.nodes[1].config.max_tokens", 9),
        ("unknown_node", "$.nodes[2].depends[1]", 13),
        ("unknown_argument", "$.nodes[2].config.inputs.txt", 14),
        ("duplicate_id", "$.nodes[3].id", 15),
    } == told


def test_what_only_follows_from_wrong_edges_is_not_told_as_well() -> None:
    text = """
name: edges
edges: [{from: first, too: second}]
nodes:
  - {id: first, type: function, config: {function_name: collect}}
  - {id: second, type: function, config: {function_name: collect, inputs: {v: first.output}}}
"""

    assert {"$.edges[0].to", "$.edges[0].too"} == {problem.path for problem in problems_of(text)}


def test_a_document_without_a_name_has_its_nodes_checked_all_the_same() -> None:
    text = """
nodes:
  - {id: only, type: function, config: {function_name: colect}}
"""

    assert {"missing", "unknown_function"} == {problem.code for problem in problems_of(text)}

import pytest

from tests.specification_document import DOCUMENT_ANALYSIS
from tests.unit.workflows.sample_catalog import node, workflow
from tests.unit.workflows.specs import problem_of, problems_of, spec_of
from workflows.dag_document import MAX_PROBLEMS, document_from_data
from workflows.dag_spec import MAX_NODES, read_spec
from workflows.errors import SpecInvalid
from workflows.node_configs import PolicySpec


def test_what_a_document_leaves_out_has_its_default() -> None:
    spec = spec_of(workflow(node("a")))

    assert ("sample", 1, None, None, {}, []) == (
        spec.name, spec.version, spec.description, spec.inputs, spec.outputs, spec.edges
    )  # fmt: skip
    assert ([], None, None, None, PolicySpec()) == (
        spec.nodes[0].depends, spec.nodes[0].when, spec.nodes[0].retry, spec.nodes[0].timeout, spec.nodes[0].policy
    )  # fmt: skip


def test_nodes_and_edges_may_stand_at_the_top_or_below_dag() -> None:
    head, _, body = DOCUMENT_ANALYSIS.partition("nodes:")
    indented = "dag:\n" + "".join(f"  {line}\n" for line in f"nodes:{body}".splitlines())

    top, below = spec_of(DOCUMENT_ANALYSIS), spec_of(head + indented)

    assert top.nodes == below.nodes
    assert top.edges == below.edges
    assert ("nodes", 1) == top.node_path(1)
    assert ("dag", "nodes", 1) == below.node_path(1)


def test_paths_lead_to_where_each_part_stands() -> None:
    spec = spec_of(f"name: x\noutputs: {{}}\ndag:\n  inputs: {{}}\n  nodes: [{node('a')[2:-1]}]\n")

    assert ("outputs",) == spec.part_path("outputs")
    assert ("dag", "inputs") == spec.part_path("inputs")
    assert ("dag", "nodes", 0) == spec.node_path(0)


def test_nodes_at_the_top_are_found_there_although_there_is_a_dag() -> None:
    spec = spec_of(workflow(node("a"), head="dag: {version: 3}\n"))

    assert 3 == spec.version
    assert ("nodes", 0) == spec.node_path(0)


def test_problems_below_dag_have_their_own_path_and_line() -> None:
    problems = problems_of("dag:\n  name: 5\n  foo: 1\n  policy:\n    quality: Best\n  edges:\n  - {from: a}\n")

    expected = [
        ("missing", "$.dag.nodes", 1),
        ("wrong_type", "$.dag.name", 2),
        ("unknown_field", "$.dag.foo", 3),
        ("wrong_type", "$.dag.policy.quality", 5),
        ("missing", "$.dag.edges[0].to", 7),
    ]
    assert expected == [(problem.code, problem.path, problem.line) for problem in problems]


def test_a_part_that_stands_at_the_top_and_below_dag_is_a_duplicate() -> None:
    problem = problem_of(workflow(node("a"), head=f"dag:\n  nodes: [{node('b')[2:-1]}]\n"))

    assert ("duplicate_key", "$.dag.nodes", 3) == (problem.code, problem.path, problem.line)


@pytest.mark.parametrize("dag", ["5", "[]", "text", "null"])
def test_dag_has_to_be_a_mapping(dag: str) -> None:
    problem = problem_of(workflow(node("a"), head=f"dag: {dag}\n"))

    assert ("wrong_type", "$.dag", 2) == (problem.code, problem.path, problem.line)


def test_every_fault_of_form_is_told_at_once_from_top_to_bottom() -> None:
    problems = problems_of(
        """\
name: 1st
version: 0
colour: blue
nodes:
- id: a b
  type: llm
  config: {prompt_ref: p@1, max_tokens: -1, seeds: 3}
- id: b
  type: python
  config: {}
- just a text
- id: c
  type: map
  config: {over: x, window: 0, body: {type: tool}}
  depend: [a]
  config: {over: y}
edges:
- {from: a, too: b}
policy: {quality: gold}
"""
    )

    expected = [
        ("wrong_type", "$.name", 1),
        ("wrong_type", "$.version", 2),
        ("unknown_field", "$.colour", 3),
        ("wrong_type", "$.nodes[0].id", 5),
        ("wrong_type", "$.nodes[0].config.max_tokens", 7),
        ("unknown_field", "$.nodes[0].config.seeds", 7),
        ("wrong_type", "$.nodes[1].type", 9),
        ("wrong_type", "$.nodes[2]", 11),
        ("wrong_type", "$.nodes[3].config.window", 14),
        ("missing", "$.nodes[3].config.body.config", 14),
        ("unknown_field", "$.nodes[3].depend", 15),
        ("duplicate_key", "$.nodes[3].config", 16),
        ("missing", "$.edges[0].to", 18),
        ("unknown_field", "$.edges[0].too", 18),
        ("wrong_type", "$.policy.quality", 19),
    ]
    assert expected == [(problem.code, problem.path, problem.line) for problem in problems]


@pytest.mark.parametrize(
    ("more", "path", "fields"),
    [
        (", foo: 1", "$.nodes[0].foo", "compensate, config, depends, id, on_error, policy, retry, timeout, type, when"),
        (", timeout: {runn: 5}", "$.nodes[0].timeout.runn", "idle, queue, run, total"),
        (", retry: {tries: 5}", "$.nodes[0].retry.tries", "attempts, factor, initial, jitter, max, when"),
        (
            ", policy: {price: 5}",
            "$.nodes[0].policy.price",
            "cache, injection, injection_threshold, pii, quality, restore, sla_ms, tokens",
        ),
    ],
)
def test_an_unknown_field_is_told_with_the_fields_there_are_at_its_place(more: str, path: str, fields: str) -> None:
    problem = problem_of(workflow(node("a", more=more)))

    name = path.rpartition(".")[2]
    assert ("unknown_field", path) == (problem.code, problem.path)
    assert f"{name!r} is not a field here; the fields are {fields}" == problem.message


def test_an_unknown_field_of_an_edge_or_the_defaults_is_told_with_the_fields_there_are() -> None:
    problems = problems_of(
        workflow(node("a"), head="defaults: {timeout: {x: 1}}\n") + "edges:\n- {from: a, to: a, via: a}\n"
    )

    assert ["idle, queue, run, total", "from, to"] == [
        problem.message.rpartition("the fields are ")[2] for problem in problems
    ]


def test_a_field_with_a_line_break_in_its_name_cannot_forge_lines_of_the_report() -> None:
    problem = problem_of(workflow(node("a"), head='"x\\n  line 9, $.y: fine": 1\n'))

    assert "\n" not in str(problem)


@pytest.mark.parametrize("missing", ["id", "type", "config"])
def test_a_node_without_what_it_needs_is_told_so(missing: str) -> None:
    parts = {"id": "a", "type": "function", "config": "{function_name: collect}"}
    text = ", ".join(f"{name}: {value}" for name, value in parts.items() if name != missing)

    problem = problem_of(f"name: x\nnodes:\n- {{{text}}}\n")

    assert ("missing", f"$.nodes[0].{missing}", 3) == (problem.code, problem.path, problem.line)
    assert f"`{missing}` is missing; add it" == problem.message


@pytest.mark.parametrize("nodes", ["", "[]", "{}", "text", "5"])
def test_a_workflow_has_at_least_one_node(nodes: str) -> None:
    problem = problem_of(f"name: x\nnodes: {nodes}\n")

    assert ("wrong_type", "$.nodes") == (problem.code, problem.path)


@pytest.mark.parametrize("item", ["null", "5", "text", "[]", "true"])
def test_a_node_has_to_be_a_mapping(item: str) -> None:
    problem = problem_of(f"name: x\nnodes:\n- {item}\n")

    assert ("wrong_type", "$.nodes[0]", 3) == (problem.code, problem.path, problem.line)


@pytest.mark.parametrize("kind", ["python", "LLM", "[llm]", "{llm: 1}", "null", "5"])
def test_a_node_is_of_one_of_five_types(kind: str) -> None:
    problem = problem_of(f"name: x\nnodes:\n- id: a\n  type: {kind}\n  config: {{}}\n")

    assert ("wrong_type", "$.nodes[0].type", 4) == (problem.code, problem.path, problem.line)


def test_all_nodes_to_the_limit_are_read_and_one_more_is_refused() -> None:
    nodes = [node(f"n{number}") for number in range(MAX_NODES + 1)]

    assert MAX_NODES == len(spec_of(workflow(*nodes[:-1])).nodes)
    assert "at most 256" in problem_of(workflow(*nodes)).message
    assert "at most 256" in problem_of(workflow(*nodes[:-1], "- {}\n")).message


@pytest.mark.parametrize("flood", ["nodes:\n" + "- {}\n" * 20_000, "nodes: []\n" + "k: 1\n" * 20_000])
def test_a_flood_of_faults_is_cut(flood: str) -> None:
    problems = problems_of(f"name: x\n{flood}")

    assert MAX_PROBLEMS + 1 == len(problems)
    assert "more_problems" == problems[-1].code


def test_a_flood_of_unknown_fields_and_broken_edges_is_cut() -> None:
    fields = "".join(f"k{number}: 1\n" for number in range(5_000))

    problems = problems_of(f"name: x\n{fields}edges:\n" + "- {}\n" * 5_000)

    assert MAX_PROBLEMS + 1 == len(problems)


@pytest.mark.parametrize(
    "node_id", ["", "1a", "a-b", "a.b", "a b", "größe", "a" * 64, '"a\\n"', "null", "5", "true", "[a]", "'{{x}}'"]
)
def test_an_id_is_an_identifier(node_id: str) -> None:
    problem = problem_of(workflow(node(node_id)))

    assert ("wrong_type", "$.nodes[0].id", 3) == (problem.code, problem.path, problem.line)


@pytest.mark.parametrize("name", ["''", "1a", "a/b", "../etc", "a b", '"a\\n"', "a" * 200, "5", "null", "größe"])
def test_a_name_can_stand_in_a_url(name: str) -> None:
    problem = problem_of(workflow(node("a")).replace("sample", name))

    assert ("wrong_type", "$.name", 1) == (problem.code, problem.path, problem.line)


@pytest.mark.parametrize("version", ["0", "-1", "1.0", "2147483648", "'1'", "true", "null", "1e3", "latest"])
def test_a_version_is_a_positive_whole_number_that_a_database_can_hold(version: str) -> None:
    problem = problem_of(workflow(node("a"), head=f"version: {version}\n"))

    assert ("wrong_type", "$.version", 2) == (problem.code, problem.path, problem.line)


def test_the_largest_version_is_read() -> None:
    assert 2**31 - 1 == spec_of(workflow(node("a"), head="version: 2147483647\n")).version


def test_prompts_are_named_each_once_in_order_those_of_bodies_too() -> None:
    spec = spec_of(
        """\
name: x
nodes:
- {id: a, type: llm, config: {prompt_ref: second@1}}
- {id: b, type: map, config: {over: c, body: {type: llm, config: {prompt_ref: first@1}}}}
- {id: c, type: tool, config: {tool_name: t}}
- {id: d, type: llm, config: {prompt_ref: second@1}}
"""
    )

    assert ["second@1", "first@1"] == spec.prompt_references()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, -1])
def test_numbers_without_measure_in_data_are_refused(number: float) -> None:
    data = {"name": "x", "nodes": [{"id": "a", "type": "llm", "config": {"prompt_ref": "p@1", "temperature": number}}]}

    with pytest.raises(SpecInvalid) as refusal:
        read_spec(document_from_data(data))

    assert ["$.nodes[0].config.temperature"] == [problem.path for problem in refusal.value.problems]

import pytest

from tests.specification_document import DOCUMENT_ANALYSIS
from tests.unit.workflows.sample_catalog import node, workflow
from workflows.dag_document import MAX_PROBLEMS, document_from_data, parse_document
from workflows.dag_spec import MAX_NODES, DagSpec, read_spec
from workflows.errors import SpecInvalid, SpecProblem
from workflows.node_configs import LlmConfig, MapConfig, PolicySpec


def spec_of(text: str) -> DagSpec:
    return read_spec(parse_document(text))


def problems_of(text: str) -> tuple[SpecProblem, ...]:
    with pytest.raises(SpecInvalid) as refusal:
        spec_of(text)
    return refusal.value.problems


def problem_of(text: str) -> SpecProblem:
    (problem,) = problems_of(text)
    return problem


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
            "cache, injection, injection_threshold, pii, quality, restore, sla_ms",
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


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 30.0),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5m", 90.0),
        ("2h", 7_200.0),
        ("30d", 2_592_000.0),
        ("' 5s '", 5.0),
        ("1ms", 0.001),
        ("{run: 7s}", 7.0),
    ],
)
def test_a_timeout_is_seconds_or_a_duration(written: str, seconds: float) -> None:
    (first,) = spec_of(workflow(node("a", more=f", timeout: {written}"))).nodes

    assert first.timeout is not None
    assert seconds == first.timeout.run


@pytest.mark.parametrize(
    "written",
    [
        "0", "-5", "-5s", "0s", "31d", "2592001", "1e300", "0.0009", "0.1ms", "1e-300",
        ".nan", ".inf", "nan", "inf", "-inf", "infs", "5 s", "5S", "5s 5s", "s", "''", "1e3s", "true", "[5]", "5w",
        f"{'9' * 400}s", "{run: true}", "{run: -1}", "{run: [1]}",
    ],
)  # fmt: skip
def test_a_timeout_that_is_no_time_is_refused(written: str) -> None:
    problem = problem_of(workflow(node("a", more=f", timeout: {written}")))

    assert "wrong_type" == problem.code
    assert problem.path.startswith("$.nodes[0].timeout")
    assert 3 == problem.line


def test_a_duration_that_cannot_be_read_is_told_how_to_write_one() -> None:
    problem = problem_of(workflow(node("a", more=", timeout: soon")))

    assert "write seconds as a number, or a duration such as 500ms, 30s, 5m, 1h (it is 'soon')" == problem.message


@pytest.mark.parametrize(
    "retry",
    [
        "{attempts: 0}", "{attempts: -1}", "{attempts: 101}", "{attempts: 2.5}", "{attempts: '3'}", "{attempts: true}",
        "{initial: 0}", "{initial: 1e-9}", "{initial: .nan}", "{initial: true}", "{max: -1s}", "{max: 31d}",
        "{factor: 0.5}", "{factor: 11}", "{factor: .nan}", "{factor: .inf}", "{factor: -2}", "3", "[]", "always",
    ],
)  # fmt: skip
def test_a_retry_past_reason_is_refused(retry: str) -> None:
    problem = problem_of(workflow(node("a", more=f", retry: {retry}")))

    assert "wrong_type" == problem.code
    assert problem.path.startswith("$.nodes[0].retry")


@pytest.mark.parametrize(
    "setting",
    [
        "max_tokens: 0", "max_tokens: 200001", "max_tokens: 1.5", "temperature: -0.1", "temperature: 2.1",
        "temperature: .nan", "temperature: .inf", "temperature: hot", "top_p: 0", "top_p: 1.1", "top_p: -.inf",
        "seed: 1.5", "seed: x", "stop: x", "stop: [1]", "stop: [a, b, c, d, e, f, g, h, i]", "stream: 'yes'",
        "model: gpt", "model: '/x'", "model: 'OpenAI/x'", "inputs: []", "output_schema: text", "prompt_ref: ''",
    ],
)  # fmt: skip
def test_a_setting_of_a_model_call_past_its_range_is_refused(setting: str) -> None:
    prompt = "" if setting.startswith("prompt_ref") else "prompt_ref: p@1, "

    problem = problem_of(f"name: x\nnodes:\n- {{id: a, type: llm, config: {{{prompt}{setting}}}}}\n")

    assert "wrong_type" == problem.code
    assert problem.path.startswith(f"$.nodes[0].config.{setting.partition(':')[0]}")


@pytest.mark.parametrize("setting", ["temperature: 0", "temperature: 2", "top_p: 1", "max_tokens: 200000", "seed: -1"])
def test_a_setting_of_a_model_call_at_the_end_of_its_range_is_read(setting: str) -> None:
    spec = spec_of(f"name: x\nnodes:\n- {{id: a, type: llm, config: {{prompt_ref: p@1, {setting}}}}}\n")

    assert spec.nodes[0].leaf is not None
    assert isinstance(spec.nodes[0].leaf.config, LlmConfig)


@pytest.mark.parametrize(
    "policy",
    [
        "quality: gold", "sla_ms: 0", "sla_ms: -1", "sla_ms: 1.5", "pii: keep", "injection: on", "restore: 1",
        "injection_threshold: 0", "injection_threshold: 1.01", "injection_threshold: .nan", "cache: 'no'",
    ],
)  # fmt: skip
def test_a_policy_with_an_unknown_word_or_number_is_refused(policy: str) -> None:
    problem = problem_of(workflow(node("a", more=f", policy: {{{policy}}}")))

    assert ("wrong_type", f"$.nodes[0].policy.{policy.partition(':')[0]}") == (problem.code, problem.path)


@pytest.mark.parametrize("window", ["0", "-1", "201", "1.5", "'4'", "null"])
def test_a_window_past_its_range_is_refused(window: str) -> None:
    body = "{type: function, config: {function_name: collect}}"
    problem = problem_of(
        f"name: x\nnodes:\n- {{id: a, type: map, config: {{over: b, window: {window}, body: {body}}}}}"
    )

    assert ("wrong_type", "$.nodes[0].config.window") == (problem.code, problem.path)


@pytest.mark.parametrize("kind", ["map", "reduce"])
def test_a_body_is_checked_as_what_it_is(kind: str) -> None:
    def with_body(body: str) -> str:
        return f"name: x\nnodes:\n- id: a\n  type: {kind}\n  config:\n    over: b\n    body: {body}\n"

    spec = spec_of(with_body("{type: llm, config: {prompt_ref: p@1}}"))
    problem = problem_of(with_body("{type: tool, config: {prompt_ref: p@1, tool_name: t}}"))
    nested = problem_of(with_body("{type: map, config: {}}"))

    leaf = spec.nodes[0].leaf
    assert leaf is not None
    assert LlmConfig(prompt_ref="p@1") == leaf.config
    assert kind == ("map" if isinstance(spec.nodes[0].settings, MapConfig) else "reduce")
    assert ("unknown_field", "$.nodes[0].config.body.config.prompt_ref", 7) == (
        problem.code, problem.path, problem.line
    )  # fmt: skip
    assert ("wrong_type", "$.nodes[0].config.body.type") == (nested.code, nested.path)


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

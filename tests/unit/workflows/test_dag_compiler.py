import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from runs.plan import (
    PLAN_FORMAT,
    Binding,
    Leaf,
    ModelParameters,
    PlanNode,
    RetryPlan,
    StepPolicy,
    TimeoutPlan,
    decode_plan,
    encode_plan,
)
from tests.specification_document import DOCUMENT_ANALYSIS
from tests.unit.workflows.sample_catalog import (
    CATALOG,
    SPLIT,
    compiled,
    llm,
    mapping,
    node,
    places_of,
    problems_of,
    workflow,
)
from workflows.dag_compiler import compile_dag
from workflows.dag_document import document_from_data, parse_document


def test_the_document_of_the_specification_compiles() -> None:
    plan = compiled(DOCUMENT_ANALYSIS)

    assert (PLAN_FORMAT, "document_analysis", 1) == (plan.format, plan.name, plan.version)
    assert {"type": "object", "required": ["document_key"]} == plan.inputs_schema
    ingest = PlanNode(
        node_id="ingest",
        type="tool",
        leaf=Leaf(
            kind="tool",
            target="s3.fetch",
            arguments={
                "bucket": Binding(kind="literal", value="documents"),
                "key": Binding(kind="template", source="{{document_key}}"),
            },
            policy=StepPolicy(tokens="refuse", cache=None),
        ),
        upstream=(),
        retry=RetryPlan(),
        timeout=TimeoutPlan(run_seconds=300.0, idle_seconds=10.0),
    )
    analyze = PlanNode(
        node_id="analyze",
        type="llm",
        leaf=Leaf(
            kind="llm",
            target="document_analyzer@3",
            arguments={"content": Binding(kind="expression", source="ingest.output")},
            policy=StepPolicy(quality="Gold", sla_ms=30_000, tokens="refuse", cache=None),
            reads=("ingest",),
            parameters=ModelParameters(max_output_tokens=4_096, may_shorten=True, accept=()),
        ),
        upstream=("ingest",),
        retry=RetryPlan(),
        timeout=TimeoutPlan(run_seconds=120.0, idle_seconds=10.0),
    )
    assert (ingest, analyze) == plan.nodes


def test_yaml_and_json_and_data_at_the_top_and_below_dag_give_the_same_plan() -> None:
    data = parse_document(DOCUMENT_ANALYSIS).data
    below: dict[str, Any] = {"name": data["name"], "dag": {"nodes": data["nodes"], "edges": data["edges"]}}
    expected = encode_plan(compiled(DOCUMENT_ANALYSIS))

    for same in (data, below):
        assert expected == encode_plan(compiled(json.dumps(same)))
        assert expected == encode_plan(compiled(json.dumps(same, indent="\t")))
        assert expected == encode_plan(compile_dag(document_from_data(same), CATALOG))


def test_a_plan_comes_back_from_its_bytes_as_it_was() -> None:
    plan = compiled(
        workflow(
            SPLIT,
            mapping("each", "split.output.chunks", body="{a: [1, {b: item}, 'size(inputs.list)'], c: '{{index}}x'}"),
            head="outputs: {all: each.output}\n",
            edges=[("split", "each")],
        )
    )

    assert plan == decode_plan(*encode_plan(plan))


def test_a_plan_of_the_deepest_document_comes_back_from_its_bytes() -> None:
    plan = compiled(workflow(node("a", inputs="{v: " + "[" * 42 + "key" + "]" * 42 + "}")))

    assert plan == decode_plan(*encode_plan(plan))


def test_model_calls_carry_how_the_model_is_asked() -> None:
    settings = (
        ", output_schema: {type: object}, max_tokens: 64, temperature: 0, top_p: 0.9, seed: 7, stop: [END],"
        " stream: true, model: openai/gpt"
    )

    leaf = compiled(workflow(llm("a", more=settings))).node("a").leaf

    assert {"type": "object"} == leaf.output_schema
    assert (
        ModelParameters(
            max_output_tokens=64,
            temperature=0,
            top_p=0.9,
            seed=7,
            stop=("END",),
            stream=True,
            model="openai/gpt",
            accept=(),
        )
        == leaf.parameters
    )


def test_depends_and_edges_give_upstream_and_what_is_read_is_told_apart() -> None:
    plan = compiled(
        workflow(
            node("a"),
            node("b"),
            node("c", inputs="{x: [{y: a.output}], z: \"'b.output'\"}", more=", depends: [b]"),
            edges=[("a", "c")],
        )
    )

    assert ("b", "a") == plan.node("c").upstream
    assert ("a",) == plan.node("c").leaf.reads


def test_what_lies_before_through_others_may_be_read() -> None:
    plan = compiled(workflow(node("a"), node("b"), node("c", inputs="{x: a.output}"), edges=[("a", "b"), ("b", "c")]))

    assert (("b",), ("a",)) == (plan.node("c").upstream, plan.node("c").leaf.reads)


def test_nodes_keep_the_order_of_the_document_though_consumers_stand_first() -> None:
    plan = compiled(
        workflow(
            node("use", function="text_splitter", inputs="{text: 'split.output.chunks[0]'}"),
            SPLIT,
            edges=[("split", "use")],
        )
    )

    assert ["use", "split"] == [found.node_id for found in plan.nodes]


def test_types_are_known_though_consumers_stand_first() -> None:
    (problem,) = problems_of(
        workflow(
            node("use", function="text_splitter", inputs="{text: split.output.count}"), SPLIT, edges=[("split", "use")]
        )
    )

    assert "this is of type integer; string is needed" == problem.message


def test_outputs_may_read_every_node_and_the_inputs() -> None:
    plan = compiled(
        workflow(node("a"), node("b"), head="outputs: {x: a.output, all: ['b.status', 5], k: '{{inputs.key}}!'}\n")
    )

    assert ("a", "b") == plan.output_reads
    assert {"type": "object", "required": ["key"]} == plan.inputs_schema
    assert Binding(kind="expression", source="a.output") == plan.outputs["x"]


@pytest.mark.parametrize(
    ("more", "head", "retry"),
    [
        ("", "", RetryPlan(attempts=4, initial_seconds=1.0, factor=2.0, max_seconds=60.0)),
        (", retry: {attempts: 1}", "", RetryPlan(attempts=1)),
        (", retry: {initial: 500ms, factor: 1, max: 1m}", "", RetryPlan(initial_seconds=0.5, factor=1.0)),
        ("", "defaults: {retry: {attempts: 9}}\n", RetryPlan(attempts=9)),
        (", retry: {max: 5}", "defaults: {retry: {attempts: 9}}\n", RetryPlan(max_seconds=5.0)),
    ],
)  # fmt: skip
def test_retries_come_from_the_node_then_the_document_then_the_platform(more: str, head: str, retry: RetryPlan) -> None:
    assert retry == compiled(workflow(node("a", more=more), head=head)).nodes[0].retry


@pytest.mark.parametrize(
    ("more", "head", "timeout"),
    [
        ("", "", TimeoutPlan(run_seconds=60.0, idle_seconds=10.0)),
        (", timeout: 5m", "", TimeoutPlan(run_seconds=300.0, idle_seconds=10.0)),
        (", timeout: 2", "", TimeoutPlan(run_seconds=2.0, idle_seconds=2.0)),
        (", timeout: {idle: 1h}", "", TimeoutPlan(run_seconds=60.0, idle_seconds=60.0)),
        (
            ", timeout: {run: 9, queue: 1m, idle: 3, total: 1h}",
            "",
            TimeoutPlan(run_seconds=9.0, idle_seconds=3.0, queue_seconds=60.0, total_seconds=3600.0),
        ),
        ("", "defaults: {timeout: 7}\n", TimeoutPlan(run_seconds=7.0, idle_seconds=7.0)),
        (", timeout: {total: 8}", "defaults: {timeout: 7}\n",
         TimeoutPlan(run_seconds=60.0, idle_seconds=10.0, total_seconds=8.0)),
    ],
)  # fmt: skip
def test_timeouts_come_from_the_node_then_the_document_then_the_platform(
    more: str, head: str, timeout: TimeoutPlan
) -> None:
    assert timeout == compiled(workflow(node("a", more=more), head=head)).nodes[0].timeout


def test_a_map_has_the_time_that_its_body_needs() -> None:
    body = "{type: llm, config: {prompt_ref: free@1}}"
    text = workflow(f"- {{id: a, type: map, config: {{over: list, body: {body}}}}}\n")

    assert 120.0 == compiled(text).nodes[0].timeout.run_seconds


def test_a_policy_comes_field_by_field_from_the_node_then_the_document() -> None:
    plan = compiled(
        workflow(
            node("a", more=", policy: {quality: Bronze, restore: false, cache: false}"),
            head="policy: {quality: Gold, sla_ms: 5, pii: block, restore: true}\n",
        )
    )

    expected = StepPolicy(quality="Bronze", sla_ms=5, pii="block", tokens="refuse", cache=False)
    assert expected == plan.nodes[0].leaf.policy
    assert plan.restore_outputs


def test_a_schema_of_the_inputs_is_kept_and_holds_references_to_it() -> None:
    head = "inputs: {type: object, properties: {key: {type: string}, pages: {type: array, items: {type: integer}}}}\n"

    plan = compiled(workflow(node("a", inputs="{x: key, y: 'inputs.pages[0]'}"), head=head))
    places = places_of(workflow(node("a", inputs="{x: kee, y: inputs.key.z, z: 'pages[0].n'}"), head=head))

    assert plan.inputs_schema is not None
    assert "required" not in plan.inputs_schema
    assert [
        ("unknown_reference", 4, "$.nodes[0].config.inputs.x"),
        ("unknown_field", 4, "$.nodes[0].config.inputs.y"),
        ("unknown_field", 4, "$.nodes[0].config.inputs.z"),
    ] == places


def test_a_model_gives_text_unless_it_is_asked_for_a_shape() -> None:
    def use(more: str, inputs: str) -> str:
        return workflow(llm("ask", more=more), node("use", inputs=inputs, more=", depends: [ask]"))

    compiled(use(", output_schema: {properties: {a: {type: array}}}", "{x: 'ask.output.a[0].b'}"))

    assert ["unknown_field"] == [problem.code for problem in problems_of(use("", "{x: ask.output.a}"))]
    assert ["unknown_field"] == [
        problem.code
        for problem in problems_of(
            use(", output_schema: {properties: {}, additionalProperties: false}", "{x: ask.output.a}")
        )
    ]


@pytest.mark.parametrize("number", ["-1", "0", "-0.0", "1e308", "-1e-300", "999999999999999999", ".nan", ".inf"])
def test_odd_numbers_and_words_for_numbers_travel_as_they_are(number: str) -> None:
    plan = compiled(workflow(f"- {{id: a, type: tool, config: {{tool_name: echo, tool_args: {{v: {number}}}}}}}\n"))

    read = parse_document(f"v: {number}").data["v"]
    assert Binding(kind="literal", value=read) == plan.nodes[0].leaf.arguments["v"]
    assert plan == decode_plan(*encode_plan(plan))


def test_a_long_list_of_numbers_stays_as_short_as_it_was() -> None:
    text = workflow(node("a", inputs=f"{{v: [{'1,' * 20_000}1]}}"))

    _, content = encode_plan(compiled(text))

    assert len(content) < 2 * len(text)


def test_what_takes_many_steps_is_left_to_the_run() -> None:
    long = "lists.range(300).all(a, lists.range(300).all(b, a + b >= 0))"
    plan = compiled(workflow(node("a", inputs=f"{{x: '{long}'}}", more=f", when: '{long}'")))

    assert long == plan.nodes[0].when


def test_work_grows_no_faster_than_the_inputs_of_a_workflow_that_is_named() -> None:
    assert calls_for_inputs(200) < 3 * calls_for_inputs(100)


def calls_for_inputs(count: int) -> int:
    """How many calls compiling makes that names a workflow of so many inputs, all with defaults."""
    names = [f"input_{number}" for number in range(count)]
    below = replace(
        compiled(DOCUMENT_ANALYSIS),
        inputs_schema={
            "type": "object",
            "properties": {name: {"type": "string", "default": "x"} for name in names},
            "required": names,
        },
    )
    catalog = replace(CATALOG, workflows={("below", None): below})
    document = parse_document('{"name": "d", "nodes": [{"id": "a", "type": "workflow", "config": {"name": "below"}}]}')
    calls = 0

    def count_call(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count_call)
    try:
        compile_dag(document, catalog)
    finally:
        sys.setprofile(None)
    return calls

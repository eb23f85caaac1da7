import pytest

from runs.plan import CodeParameters, Fact, MapPlan
from tests.unit.workflows.sample_catalog import SPLIT, compiled, mapping, node, places_of, problems_of, workflow


def test_a_map_goes_over_a_list_whose_size_becomes_a_fact() -> None:
    plan = compiled(
        workflow(
            SPLIT,
            mapping("each", "split.output.chunks", body="{text: item, at: index}").replace("over", "window: 9, over"),
            edges=[("split", "each")],
        )
    )

    each = plan.node("each")
    assert ("map", "split", ("chunks",), 9) == (each.type, each.over_root, each.over_path, each.window)
    assert ("function", ()) == (each.leaf.kind, each.leaf.reads)
    assert (Fact(path=("chunks",), kind="size"),) == plan.node("split").facts
    assert {"type": "object", "required": ["key"]} == plan.inputs_schema


def test_a_reduce_sees_the_whole_list_as_items() -> None:
    plan = compiled(
        workflow(
            SPLIT,
            mapping("all", "split.output.chunks", kind="reduce", body="{texts: items, first: 'items[0]'}"),
            edges=[("split", "all")],
        )
    )

    reduced = plan.node("all")
    assert ("reduce", "split", ("chunks",), 1) == (
        reduced.type, reduced.over_root, reduced.over_path, reduced.window
    )  # fmt: skip
    assert (Fact(path=("chunks",), kind="size"),) == plan.node("split").facts


def test_a_map_over_an_input_asks_for_the_input_and_makes_its_size_a_fact() -> None:
    for over in ("documents", "inputs.documents"):
        plan = compiled(workflow(mapping("each", over)))

        assert ("inputs", ("documents",)) == (plan.nodes[0].over_root, plan.nodes[0].over_path)
        assert (Fact(path=("documents",), kind="size"),) == plan.input_facts
        assert {"type": "object", "required": ["documents"]} == plan.inputs_schema


def test_a_map_may_go_over_an_input_that_is_called_status() -> None:
    plan = compiled(workflow(mapping("each", "inputs.status")))

    assert (Fact(path=("status",), kind="size"),) == plan.input_facts


def test_a_map_gives_a_list_of_what_its_body_gives() -> None:
    over_words = (
        "- {id: cut, type: map, config: {over: texts,"
        " body: {type: function, config: {function_name: text_splitter, inputs: {text: item}}}}}\n"
    )

    good = node("merge", function="result_merger", inputs="{results: cut.output}", more=", depends: [cut]")
    wrong = node("use", function="text_splitter", inputs="{text: 'cut.output[0].count'}", more=", depends: [cut]")

    compiled(workflow(over_words, good))
    (problem,) = problems_of(workflow(over_words, wrong))
    assert "this is of type integer; string is needed" == problem.message


def test_items_have_the_type_that_the_list_promises() -> None:
    over = mapping("each", "split.output.chunks", body="{a: item.text}", more=", depends: [split]")

    (problem,) = problems_of(workflow(SPLIT, over))

    assert ("unknown_field", "$.nodes[1].config.body.config.inputs.a") == (problem.code, problem.path)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("split.output", "'split.output' is of type object; a list is needed"),
        ("split.output.count", "'split.output.count' is of type integer; a list is needed"),
        ("split.status", "name a list by its path, such as split.output.chunks"),
        ("'split.output.chunks[0]'", "name a list by its path, such as split.output.chunks"),
        ("'split.output.chunks + split.output.chunks'", "name a list by its path, such as split.output.chunks"),
        ("split", "a node has `output`, `status`, `finish_reason` and `error`; write split.output"),
        ("inputs", "'inputs' is of type object; a list is needed"),
    ],
)
@pytest.mark.parametrize("kind", ["map", "reduce"])
def test_what_is_no_list_cannot_be_gone_over(over: str, message: str, kind: str) -> None:
    (problem,) = problems_of(workflow(SPLIT, mapping("each", over, kind=kind, more=", depends: [split]")))

    assert ("$.nodes[1].config.over", 4, message) == (problem.path, problem.line, problem.message)


@pytest.mark.parametrize(
    "over", ["''", "'[1, 2]'", "'true'", "'5'", "'size(a) == 1'", "'a b'", "'{{ list }}'", "5", "[a]", "null"]
)
@pytest.mark.parametrize("kind", ["map", "reduce"])
def test_a_list_is_gone_over_by_its_path_only(over: str, kind: str) -> None:
    ((code, line, path),) = places_of(workflow(mapping("each", over, kind=kind)))

    assert (3, "$.nodes[0].config.over") == (line, path)
    assert code == ("invalid_expression" if over.startswith("'") else "wrong_type")


def test_conditions_make_the_values_they_read_facts() -> None:
    when = 'split.output.count > limit && split.output.chunks[1] == inputs.mode.name && other.status == \\"failed\\"'
    plan = compiled(
        workflow(
            SPLIT,
            node("other"),
            node("then", more=f', depends: [split, other], when: "{when}"'),
            node("again", more=", depends: [split], when: split.output.count == 0"),
        )
    )

    assert (Fact(path=("chunks",), kind="value"), Fact(path=("count",), kind="value")) == plan.node("split").facts
    assert () == plan.node("other").facts
    assert (Fact(path=("limit",), kind="value"), Fact(path=("mode", "name"), kind="value")) == plan.input_facts
    assert when.replace("\\", "") == plan.node("then").when
    assert {"type": "object", "required": ["key", "limit", "mode"]} == plan.inputs_schema


def test_a_condition_and_a_map_may_want_the_value_and_the_size_of_one_list() -> None:
    plan = compiled(
        workflow(
            SPLIT,
            mapping("each", "split.output.chunks", more=", depends: [split], when: size(split.output.chunks) > 1"),
        )
    )

    assert ["size:chunks", "value:chunks"] == [fact.key for fact in plan.node("split").facts]


def test_a_condition_may_read_a_whole_output_and_what_a_macro_binds_is_no_fact() -> None:
    plan = compiled(
        workflow(
            node("a"),
            node("b"),
            node("c", more=", depends: [a, b], when: 'a.output && b.output.pages.exists(p, p.size > 3)'"),
        )
    )

    assert (Fact(path=(), kind="value"),) == plan.node("a").facts
    assert (Fact(path=("pages",), kind="value"),) == plan.node("b").facts
    assert plan.inputs_schema is None


def test_a_map_over_what_conditions_read_too_does_not_see_its_items_in_its_condition() -> None:
    plan = compiled(workflow(mapping("each", "list", more=", when: item > 3")))

    assert ["size:list", "value:item"] == sorted(fact.key for fact in plan.input_facts)


@pytest.mark.parametrize("when", ["''", "a +", "a.output", "a.result", "'{{ x }}'"])
def test_a_condition_that_cannot_be_read_is_told(when: str) -> None:
    (problem,) = problems_of(workflow(node("a", more=f", when: {when}")))

    assert ("$.nodes[0].when", 3) == (problem.path, problem.line)
    assert problem.code in {"invalid_expression", "not_upstream", "unknown_field"}


def test_a_map_of_functions_is_batched_and_one_of_calls_is_not() -> None:
    functions, tools = (
        compiled(workflow(f"- {{id: each, type: map, config: {{over: inputs.list, body: {body}}}}}\n")).node("each")
        for body in ("{type: function, config: {function_name: collect}}", "{type: tool, config: {tool_name: echo}}")
    )

    assert MapPlan(batch=500, max_items=100_000) == functions.map
    assert MapPlan(batch=1, max_items=100_000) == tools.map


def test_what_a_map_tolerates_is_in_its_plan_and_makes_its_items_nullable() -> None:
    config = "over: inputs.list, tolerate: {count: 2, percent: 1.5}"
    body = "{type: function, config: {function_name: text_splitter, inputs: {text: item}}}"
    plan = compiled(
        workflow(
            f"- {{id: each, type: map, config: {{{config}, body: {body}}}}}\n",
            node("after", function="collect", inputs="{first: 'each.output[0].anything'}", more=", depends: [each]"),
        )
    )

    assert MapPlan(batch=500, tolerated_failures=2, tolerated_percent=1.5) == plan.node("each").map


def test_code_becomes_a_program_with_its_limits_and_its_inputs() -> None:
    config = "language: python, source: 'def main(input): return 1', inputs: {n: inputs.n}, limits: {wall_seconds: 2s}"
    leaf = (
        compiled(workflow(f"- {{id: a, type: code, config: {{{config}, output_schema: {{type: integer}}}}}}\n"))
        .node("a")
        .leaf
    )

    assert leaf.program == CodeParameters(language="python", source="def main(input): return 1", wall_seconds=2.0)
    assert ("code", {"type": "integer"}, ["n"]) == (leaf.kind, leaf.output_schema, list(leaf.arguments))

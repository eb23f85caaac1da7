from dataclasses import replace

import pytest

from runs.plan import COMPENSATION, Fact, LoopPlan, RetryPlan
from runs.signatures import Catalog
from tests.unit.workflows.sample_catalog import CATALOG, SPLIT, compiled, node, places_of, problems_of, workflow
from workflows.dag_compiler import MAX_DEPTH, compile_dag
from workflows.dag_document import parse_document

LOOP = (
    "- {id: again, type: loop, config: {max_iterations: 3, until: last.done, "
    "body: {type: function, config: {function_name: collect, inputs: {n: iteration, before: last}}}}}\n"
)


def branch(inputs: str = "{}", more: str = "") -> str:
    return f"{{type: function, config: {{function_name: collect, inputs: {inputs}}}{more}}}"


def race(node_id: str, more: str = "", **branches: str) -> str:
    listed = ", ".join(f"{name}: {body}" for name, body in branches.items())
    return f"- {{id: {node_id}, type: race, config: {{branches: {{{listed}}}}}{more}}}\n"


def inline(node_id: str, inputs: str, nodes: str, outputs: str = "{}", more: str = "") -> str:
    config = f"{{inputs: {inputs}, nodes: [{nodes}], outputs: {outputs}}}"
    return f"- {{id: {node_id}, type: workflow, config: {config}{more}}}\n"


def test_a_loop_needs_the_facts_that_its_condition_reads() -> None:
    plan = compiled(workflow(LOOP))

    loop = plan.node("again")
    assert LoopPlan(max_iterations=3, until="last.done") == loop.loop
    assert (Fact(path=("done",), kind="value"),) == loop.facts
    assert plan.inputs_schema is None


def test_a_loop_has_a_bound() -> None:
    unbounded = LOOP.replace("max_iterations: 3, ", "")

    assert [("missing", 3, "$.nodes[0].config.max_iterations")] == places_of(workflow(unbounded))


def test_a_race_reads_what_its_branches_read() -> None:
    plan = compiled(
        workflow(
            SPLIT,
            race("first", ", depends: [split]", a=branch("{t: split.output.chunks}"), b=branch(more=", after: 2s")),
        )
    )

    first = plan.node("first")
    assert ("race", ("split",)) == (first.leaf.kind, first.leaf.reads)
    assert ["a", "b"] == list(first.branches)
    assert [0.0, 2.0] == [each.after_seconds for each in first.branches.values()]
    assert first.branches["a"].leaf == first.leaf_of("branch:a")


def test_a_race_of_one_is_none() -> None:
    assert ["$.nodes[0].config.branches"] == [problem.path for problem in problems_of(workflow(race("a", x=branch())))]


def test_what_is_wrong_with_a_branch_is_told_where_it_stands() -> None:
    text = workflow(race("a", x=branch("{v: nobody.output}"), y=branch()))

    assert [("unknown_node", 3, "$.nodes[0].config.branches.x.config.inputs.v")] == places_of(text)


def test_inline_nodes_see_their_inputs_and_nothing_else() -> None:
    good = workflow(
        SPLIT, inline("below", "{words: split.output.chunks}", branch_node("words"), more=", depends: [split]")
    )
    bad = workflow(
        SPLIT, inline("below", "{words: key}", branch_node("split.output.chunks"), more=", depends: [split]")
    )

    plan = compiled(good).node("below").leaf.plan
    assert plan is not None
    assert {"type": "object", "required": ["words"]} == plan.inputs_schema
    assert [("unknown_node", "$.nodes[1].config.nodes[0].config.inputs.v")] == [
        (problem.code, problem.path) for problem in problems_of(bad)
    ]


def branch_node(expression: str) -> str:
    return f"{{id: inner, type: function, config: {{function_name: collect, inputs: {{v: {expression}}}}}}}"


def test_the_outputs_of_inline_nodes_are_known() -> None:
    below = inline("below", "{}", branch_node("1"), "{all: inner.output}")
    after = node("after", inputs="{v: below.output.every}", more=", depends: [below]")

    assert ["unknown_field"] == [problem.code for problem in problems_of(workflow(below, after))]


def test_inline_nodes_have_the_policy_of_what_they_stand_in() -> None:
    below = inline("below", "{}", "{id: ask, type: llm, config: {prompt_ref: free@1}}")

    plan = compiled(workflow(below, head="policy: {quality: Gold, restore: true}\n")).node("below").leaf.plan

    assert plan is not None
    assert ("Gold", True) == (plan.node("ask").leaf.policy.quality, plan.node("ask").leaf.policy.restore)
    # What is restored is restored once, at the end of the run at the top.
    assert not plan.restore_outputs


def test_nodes_inside_nodes_come_to_an_end() -> None:
    nested = branch_node("1")
    for depth in range(6):
        nested = f"{{id: n{depth}, type: workflow, config: {{nodes: [{nested}]}}}}"

    assert ["nested_too_deep"] == [problem.code for problem in problems_of(workflow(f"- {nested}\n"))]


def test_a_registered_workflow_is_held_against_its_inputs() -> None:
    below = compiled("name: below\nversion: 4\n" + workflow(node("a", inputs="{v: wanted}")).split("\n", 1)[1])
    catalog = replace(CATALOG, workflows={("below", None): below})

    def named(inputs: str, name: str = "below") -> str:
        return workflow(f"- {{id: w, type: workflow, config: {{name: {name}, inputs: {inputs}}}}}\n")

    plan = compile_dag(parse_document(named("{wanted: key}")), catalog)
    assert "below@4" == plan.node("w").leaf.target
    assert ["missing"] == codes(named("{}"), catalog)
    assert ["unknown_workflow"] == codes(named("{}", "other"), catalog)


def test_workflows_below_workflows_are_so_many_and_so_deep() -> None:
    plan = compiled(workflow(node("a")))
    for _ in range(MAX_DEPTH):
        inner = replace(CATALOG, workflows={("below", None): plan})
        plan = compile_dag(parse_document(workflow("- {id: w, type: workflow, config: {name: below}}\n")), inner)

    catalog = replace(CATALOG, workflows={("below", None): plan})
    assert ["too_large"] == codes(workflow("- {id: w, type: workflow, config: {name: below}}\n"), catalog)
    wide = "".join(f"- {{id: w{n}, type: workflow, config: {{name: below}}}}\n" for n in range(200))
    flat = compiled(workflow(*(node(f"n{n}") for n in range(20))))
    assert ["too_large"] == codes(workflow(wide), replace(CATALOG, workflows={("below", None): flat}))


def codes(text: str, catalog: Catalog) -> list[str]:
    from workflows.errors import SpecInvalid

    with pytest.raises(SpecInvalid) as refusal:
        compile_dag(parse_document(text), catalog)
    return [problem.code for problem in refusal.value.problems]


def test_a_compensation_sees_what_its_node_gave() -> None:
    back = ", compensate: " + branch("{what: book.output}")

    booking = compiled(workflow(node("book", more=back))).node("book")

    assert booking.compensate is not None
    assert ("book",) == booking.compensate.leaf.reads
    assert booking.compensate.leaf == booking.leaf_of(COMPENSATION)


def test_a_failure_that_is_asked_for_does_not_end_the_run() -> None:
    plan = compiled(workflow(node("a"), node("b"), node("c", more=", depends: a.failed || b.succeeded")))

    assert ["continue", "fail", "fail"] == [each.on_error for each in plan.nodes]
    assert ("a.failed || b.succeeded", ("a", "b")) == (plan.node("c").depends, plan.node("c").upstream)


@pytest.mark.parametrize(
    ("depends", "code"),
    [
        ("a.output.x == 1", "unknown_outcome"),
        ("a.lost", "unknown_outcome"),
        ("'true'", "unknown_outcome"),
        ("a.failed &&", "invalid_expression"),
        ("nobody.failed", "unknown_node"),
    ],
)
def test_outcomes_are_held_against_the_nodes_there_are(depends: str, code: str) -> None:
    assert [(code, "$.nodes[1].depends")] == [
        (problem.code, problem.path)
        for problem in problems_of(workflow(node("a"), node("b", more=f', depends: "{depends}"')))
    ]


def test_an_edge_into_a_node_that_judges_outcomes_is_ambiguous() -> None:
    text = workflow(node("a"), node("b"), node("c", more=", depends: a.failed"), edges=[("b", "c")])

    assert ["ambiguous_depends"] == [problem.code for problem in problems_of(text)]


FINALLY = (
    "finally: [{id: tell, type: function, config: {function_name: collect, inputs: {how: run.status, a: a.output}}}]\n"
)


def test_what_is_final_sees_the_run_and_every_other_node() -> None:
    plan = compiled(workflow(node("a"), head=FINALLY))

    assert [False, True] == [each.is_final for each in plan.nodes]
    assert plan.node("tell").upstream == ()
    assert ("a",) == plan.node("tell").leaf.reads


def test_nothing_comes_after_what_is_final() -> None:
    after = places_of(workflow(node("a", more=", depends: [tell]"), head=FINALLY))
    before = places_of(workflow(node("a"), head=FINALLY.replace("{id: tell,", "{id: tell, depends: [a],")))

    assert [("wrong_phase", 4, "$.nodes[0]")] == after
    assert [("wrong_phase", 2, "$.finally[0]")] == before


def test_no_other_node_sees_the_run() -> None:
    assert ["unknown_node"] == [
        problem.code
        for problem in problems_of(
            workflow(node("a", inputs="{v: run.status}"), head="inputs: {type: object, properties: {x: {}}}\n")
        )
    ]


def test_retries_look_at_the_error_and_the_attempt() -> None:
    good = ', retry: {jitter: 0.3, when: "error.retryable && attempt < 3"}'
    bad = ", retry: {when: key == 'x'}"

    assert (
        RetryPlan(jitter=0.3, when="error.retryable && attempt < 3")
        == compiled(workflow(node("a", more=good))).node("a").retry
    )
    assert [("unknown_reference", 3, "$.nodes[0].retry.when")] == places_of(workflow(node("a", more=bad)))
    assert ["$.nodes[0].retry.when"] == [
        problem.path for problem in problems_of(workflow(node("a", more=", retry: {when: error.kind}")))
    ]

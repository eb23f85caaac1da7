import pytest

from runs.expressions import parse_template
from runs.plan import encode_plan
from tests.unit.workflows.sample_catalog import CATALOG, compiled, node, places_of, problems_of, workflow
from workflows.dag_compiler import compile_dag
from workflows.dag_document import parse_document

_X = "$.nodes[0].config.inputs.x"
_BODY = "body: {type: function, config: {function_name: collect}}"


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("2026-03-01", "\"'2026-03-01'\""),
        ("555-1234", "\"'555-1234'\""),
        ("en-US", "\"'en-US'\""),
        ("'007'", "\"'007'\""),
        ("'3.10'", "\"'3.10'\""),
        ("'{{ 2026-03-01 }}'", "\"'2026-03-01'\""),
        ("[{y: 1/2}]", "\"'1/2'\""),
    ],
)
def test_what_was_meant_as_a_text_is_told_with_what_to_write(value: str, advice: str) -> None:
    (problem,) = problems_of(workflow(node("a", inputs=f"{{x: {value}}}")))

    assert "looks_like_text" == problem.code
    assert problem.path.startswith(_X)
    assert f"write it in quotes inside the quotes: {advice}" in problem.message


@pytest.mark.parametrize("value", ["01234", "+491234567", "-007"])
def test_a_number_that_yaml_would_read_without_its_zeros_or_sign_is_told(value: str) -> None:
    assert [("looks_like_text", 3, _X)] == places_of(workflow(node("a", inputs=f"{{x: {value}}}")))


@pytest.mark.parametrize("value", ["10 - 3", "inputs.a - 1", "inputs.a-1", "0", "-5", "1.5", "a.b - 1", "'2 * 3'"])
def test_arithmetic_is_compiled(value: str) -> None:
    assert compiled(workflow(node("n", inputs=f"{{x: {value}}}"))).nodes


@pytest.mark.parametrize(
    "condition",
    [
        "'\"yes\"'", "'1'", "'null'", "'[]'", "'1 + 1'", "inputs.name", "inputs.name + '!'", "size(inputs.name)",
        "\"inputs.flag ? 'yes' : 'no'\"", "b.status",
    ],
)  # fmt: skip
def test_a_condition_that_is_never_true_or_false_is_told(condition: str) -> None:
    head = "inputs: {type: object, properties: {name: {type: string}, flag: {type: boolean}}}\n"
    loop = f"- {{id: l, type: loop, config: {{max_iterations: 2, until: {condition}, {_BODY}}}}}\n"

    found = places_of(workflow(node("a", more=f", when: {condition}"), loop, node("b"), head=head))

    assert [
        ("never_a_condition", 4, "$.nodes[0].when"),
        ("never_a_condition", 5, "$.nodes[1].config.until"),
    ] == found


@pytest.mark.parametrize(
    "condition", ["'true'", "'1 == 2'", "inputs.flag", "'!inputs.flag'", "inputs.maybe", "inputs.some"]
)
def test_a_condition_that_may_be_true_or_false_is_compiled(condition: str) -> None:
    properties = "{flag: {type: boolean}, maybe: {type: [boolean, 'null']}, some: {}}"
    head = f"inputs: {{type: object, properties: {properties}}}\n"

    assert compiled(workflow(node("a", more=f", when: {condition}"), head=head)).nodes


@pytest.mark.parametrize(
    ("more", "path"),
    [
        (", retry: {when: error.code}", "$.nodes[1].retry.when"),
        (", retry: {when: attempt + 1}", "$.nodes[1].retry.when"),
        (", depends: 'a.failed ? 1 : 2'", "$.nodes[1].depends"),
    ],
)
def test_conditions_of_retries_and_of_outcomes_are_true_or_false(more: str, path: str) -> None:
    assert [("never_a_condition", 4, path)] == places_of(workflow(node("a"), node("b", more=more)))


@pytest.mark.parametrize(
    ("inputs", "path", "said"),
    [
        ("{text: inputs.t, max_characters: \"'many'\"}", "max_characters", "'many' is not of type 'integer'"),
        ("{text: inputs.t, max_characters: '2 - 3'}", "max_characters", "this gives -1"),
        ("{text: '1 + 1'}", "text", "2 is not of type 'string'"),
        ("{text: '{{ 1 + 1 }}'}", "text", "2 is not of type 'string'"),
        ("{text: 'size(inputs.t)'}", "text", "string is needed"),
        ("{text: 'inputs.t * 2'}", "text", "string is needed"),
        ("{text: inputs.t, max_characters: 'string(inputs.t)'}", "max_characters", "integer is needed"),
    ],
)
def test_arguments_whose_value_or_type_is_certain_are_checked(inputs: str, path: str, said: str) -> None:
    (problem,) = problems_of(workflow(node("a", function="text_splitter", inputs=inputs)))

    assert ("unfit_value", f"$.nodes[0].config.inputs.{path}") == (problem.code, problem.path)
    assert said in problem.message


def test_parts_of_an_argument_are_checked_where_they_stand() -> None:
    merger = node("a", function="result_merger", inputs="{results: [inputs.x, {y: 1/2}], more: [\"'x'\", 7]}")
    splitter = node("b", function="text_splitter", inputs="{text: {y: inputs.x}}")

    found = places_of(workflow(merger, splitter))

    assert [
        ("looks_like_text", 3, "$.nodes[0].config.inputs.results[1].y"),
        ("wrong_type", 4, "$.nodes[1].config.inputs.text"),
    ] == found


@pytest.mark.parametrize("source", ["1 / 0", "'\"a\" + 1'", "'[1][3]'", "'{\"a\": 1}.b'"])
def test_an_expression_that_has_no_value_in_any_run_is_told(source: str) -> None:
    assert [("constant_fails", 3, _X)] == places_of(workflow(node("a", inputs=f"{{x: {source}}}")))


@pytest.mark.parametrize(
    "text",
    [
        workflow(node("a", inputs="{x: 2026-03-01, y: 0123, z: 1 / 0, w: yes-no}", more=", when: '1'")),
        workflow(node("a", function="text_splitter", inputs="{text: '1 + 1'}")),
        workflow("- {id: a, type: workflow, config: {nodes: ["
                 "{id: b, type: function, config: {function_name: collect, inputs: {x: 555-1234}}}]}}\n"),
    ],
)  # fmt: skip
def test_what_is_registered_keeps_its_plan(text: str) -> None:
    assert problems_of(text)

    plan = compile_dag(parse_document(text), CATALOG, is_registered=True)

    assert encode_plan(plan) == encode_plan(compile_dag(parse_document(text), CATALOG, is_registered=True))
    assert "a" == plan.nodes[0].node_id


def test_braces_of_a_text_begin_with_an_expression() -> None:
    template = parse_template("Dear {{ '{{' }}name}}, {{ '{{' }} {{ x }} }}")

    assert "Dear {{name}}, {{ 7 }}" == template.evaluate({"x": 7})

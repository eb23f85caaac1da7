from dataclasses import replace
from typing import Any

import pytest

from runs.expressions import parse_template
from runs.plan import encode_plan
from tests.unit.workflows.sample_catalog import CATALOG, compiled, llm, node, places_of, problems_of, workflow
from workflows.dag_compiler import compile_dag
from workflows.dag_document import parse_document
from workflows.errors import SpecInvalid, SpecProblem
from workflows.prompt_signatures import prompt_signature

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
        ("{text: inputs.t, max_characters: \"'many'\"}", "max_characters", "expected integer, found string"),
        ("{text: inputs.t, max_characters: '2 - 3'}", "max_characters", "this gives -1"),
        ("{text: '1 + 1'}", "text", "expected string, found integer"),
        ("{text: '{{ 1 + 1 }}'}", "text", "expected string, found integer"),
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


MODELS = {"openai/small": frozenset({"Silver", "Bronze"}), "local/tiny": frozenset({"Bronze"})}


@pytest.mark.parametrize("kind", ["llm", "agent"])
def test_a_model_that_is_not_offered_is_told_with_those_that_are(kind: str) -> None:
    text = workflow(f"- {{id: a, type: {kind}, config: {{prompt_ref: free@1, model: openai/smal}}}}\n")

    (problem,) = told(text, models=MODELS)

    assert ("unknown_model", 3, "$.nodes[0].config.model") == (problem.code, problem.line, problem.path)
    offered = "MODELS offers: local/tiny, openai/small; did you mean 'openai/small'?"
    assert f"model 'openai/smal' is not offered; {offered}" == problem.message


def test_a_quality_that_no_model_is_offered_for_is_told() -> None:
    body = "{type: llm, config: {prompt_ref: free@1}}"
    text = workflow(
        llm("a"),
        llm("b", more="}, policy: {quality: Gold"),
        f"- {{id: c, type: map, policy: {{quality: Gold}}, config: {{over: x, body: {body}}}}}\n",
        llm("d", more=", model: local/tiny}, policy: {quality: Gold"),
    )

    assert [("unknown_model", 4), ("unknown_model", 5)] == [
        (each.code, each.line) for each in told(text, models=MODELS)
    ]


def test_where_no_model_is_offered_or_known_a_quality_is_not_told() -> None:
    assert () == told(workflow(llm("a")), models={})
    assert () == told(workflow(llm("a", more=", model: any/thing")), models=None)
    assert ["unknown_model"] == [each.code for each in told(workflow(llm("a", more=", model: a/b")), models={})]


def test_approvers_that_no_key_is_called_like_are_told_with_the_keys_that_there_are() -> None:
    text = workflow(
        "- {id: a, type: approval, config: {message: Go?, approvers: [ada, bop],"
        " escalate: [{after: 1h, approvers: [eve]}]}}\n"
    )

    found = told(text, approvers=frozenset({"ada", "bob"}))

    assert [
        ("unknown_approver", "$.nodes[0].config.approvers[1]"),
        ("unknown_approver", "$.nodes[0].config.escalate[0].approvers[0]"),
    ] == [(problem.code, problem.path) for problem in found]
    assert "did you mean 'bob'?" in found[0].message
    assert "there is 'ada', 'bob'" in found[1].message
    assert () == told(text, approvers=None)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("{text: t, tone: x}", []),
        ("{text: t}", []),
        ("{}", [("missing_variable", "")]),
        ("{tekst: t}", [("missing_variable", ""), ("unknown_variable", ".tekst")]),
        ("{text: t, more: x}", [("unknown_variable", ".more")]),
    ],
)
def test_what_a_prompt_looks_up_is_held_against_what_a_node_gives(inputs: str, expected: list[tuple[str, str]]) -> None:
    prompt = prompt_signature("say@1", "{{ text }}{% if tone is defined %}{{ tone }}{% endif %}", None, is_pinned=True)
    found = told(workflow(llm("a", prompt="say@1", inputs=inputs)), prompts={"say@1": prompt})

    assert [(code, f"$.nodes[0].config.inputs{path}") for code, path in expected] == [
        (problem.code, problem.path) for problem in found
    ]


@pytest.mark.parametrize(
    ("schema", "is_pinned", "codes"),
    [
        ({"type": "object", "properties": {"text": {}}}, True, ["missing_variable", "unknown_variable"]),
        ({"type": "object", "properties": {"text": {}, "other": {}}}, True, ["missing_variable"]),
        ({"type": "object", "required": ["text"]}, True, ["missing"]),
        ({"type": "object", "additionalProperties": True}, True, ["missing_variable"]),
        ({"properties": {"text": {}}, "additionalProperties": False}, True, ["missing_variable", "unknown_argument"]),
        (None, False, ["missing_variable"]),
    ],
)
def test_the_schema_of_a_prompt_says_what_else_it_takes(
    schema: dict[str, Any] | None, codes: list[str], *, is_pinned: bool
) -> None:
    prompt = prompt_signature("say@1", "{{ text }}", schema, is_pinned=is_pinned)
    found = told(workflow(llm("a", prompt="say@1", inputs="{other: x}")), prompts={"say@1": prompt})

    assert codes == [problem.code for problem in found]


def test_too_large_a_map_is_told_where_its_bound_belongs() -> None:
    inner = (
        "{id: inner, type: map, config: {over: inputs.list, body: {type: function, config: {function_name: collect}}}}"
    )
    body = f"{{type: workflow, config: {{inputs: {{list: inputs.other}}, nodes: [{inner}]}}}}"
    outer = f"- {{id: outer, type: map, config: {{over: inputs.list, body: {body}}}}}\n"

    (problem,) = problems_of(workflow(node("a"), outer))

    assert ("too_large", 4, "$.nodes[1].config.max_items") == (problem.code, problem.line, problem.path)
    assert "'outer' up to 100,000 times, 'inner' up to 100,000 times" in problem.message


def told(text: str, **known: Any) -> tuple[SpecProblem, ...]:
    """What is wrong with a document, where the catalog has what is `known`."""
    try:
        compile_dag(parse_document(text), replace(CATALOG, **known))
    except SpecInvalid as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("{properties: {lang: {type: string, default: 5}}}", "properties.lang"),
        ("{properties: {n: {$ref: '#/$defs/n', default: x}}, $defs: {n: {type: integer}}}", "properties.n"),
        ("{properties: {o: {type: object, required: [a], default: {}}}}", "properties.o"),
        ("{properties: {l: {items: {enum: [1], default: 2}}}}", "properties.l.items"),
        ("{default: 7, type: object}", ""),
    ],
)
def test_a_default_that_does_not_fit_its_own_schema_is_told(schema: str, path: str) -> None:
    place = f"$.inputs.{path}.default" if path else "$.inputs.default"

    assert [("invalid_default", 2, place)] == places_of(workflow(node("a"), head=f"inputs: {schema}\n"))


def test_a_workflow_that_is_named_need_not_be_given_what_has_a_default() -> None:
    head = "inputs: {type: object, properties: {lang: {type: string, default: en}, n: {}}, required: [lang, n]}\n"
    catalog = {"workflows": {("below", None): compiled(workflow(node("a"), head=head))}}
    text = workflow("- {id: w, type: workflow, config: {name: below}}\n")

    assert ["'below' needs the argument 'n'"] == [problem.message for problem in told(text, **catalog)]


@pytest.mark.parametrize("until", ["\"'tomorrow'\"", "\"'2026-03-01'\"", "'5'", "inputs.n", "'size(inputs.x)'"])
def test_what_is_no_instant_in_any_run_is_told(until: str) -> None:
    head = "inputs: {type: object, properties: {n: {type: integer}, x: {type: string}}}\n"
    text = workflow(f"- {{id: w, type: wait, config: {{until: {until}}}}}\n", head=head)

    assert [("unfit_value", 4, "$.nodes[0].config.until")] == places_of(text)


@pytest.mark.parametrize("until", ["\"'2026-03-01T00:00:00Z'\"", "inputs.x", "inputs.x + 'Z'"])
def test_what_may_be_an_instant_is_compiled(until: str) -> None:
    head = "inputs: {type: object, properties: {x: {type: string}}}\n"

    assert compiled(workflow(f"- {{id: w, type: wait, config: {{until: {until}}}}}\n", head=head)).nodes

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.arguments import evaluate
from agentflow.digest import Json
from runs.errors import ExpressionFailed
from runs.plan import PLAN_FORMAT, Binding, Plan, decode_plan, encode_plan
from tests.unit.json_values import JSON_VALUES

SCOPE: dict[str, Any] = {
    "inputs": {"name": "report", "count": 3},
    "name": "report",
    "fetch": {"output": {"pages": [{"text": "one"}, {"text": "two"}]}, "status": "succeeded"},
    "skipped": {"output": None, "status": "skipped"},
}


def expression(source: str) -> Binding:
    return Binding(kind="expression", source=source)


def template(source: str) -> Binding:
    return Binding(kind="template", source=source)


def nested(shape: Any, members: dict[str, Binding]) -> Binding:
    return Binding(kind="literal", shape=shape, members=members)


def stored(bindings: dict[str, Binding]) -> dict[str, Binding]:
    """The bindings as a worker reads them: from a plan's canonical bytes."""
    plan = Plan(format=PLAN_FORMAT, name="p", version=1, nodes=(), outputs=bindings)
    return decode_plan(*encode_plan(plan)).outputs


@given(JSON_VALUES)
def test_a_literal_is_its_value(value: Json) -> None:
    assert {"a": value} == evaluate({"a": Binding(kind="literal", value=value)}, {})


@pytest.mark.parametrize(
    ("binding", "value"),
    [
        (expression("inputs.count + 1"), 4),
        (expression("fetch.output.pages[1].text"), "two"),
        (expression("fetch.output.pages"), [{"text": "one"}, {"text": "two"}]),
        (expression("skipped.output"), None),
        (template("{{ inputs.count }}"), 3),
        (template("{{name}} has {{ inputs.count }} parts"), "report has 3 parts"),
        (template("{{ fetch.output.pages }}"), [{"text": "one"}, {"text": "two"}]),
    ],
)
def test_expressions_and_templates_have_their_value_in_the_scope(binding: Binding, value: Any) -> None:
    assert {"a": value} == evaluate({"a": binding}, SCOPE)


def test_mappings_and_lists_are_built_of_their_members() -> None:
    binding = nested(
        "mapping",
        {
            "fixed": Binding(kind="literal", value={"{{": "no template"}),
            "list": nested("list", {"0": template("{{name}}"), "1": nested("mapping", {"n": expression("1 + 1")})}),
        },
    )

    assert {"a": {"fixed": {"{{": "no template"}, "list": ["report", {"n": 2}]}} == evaluate({"a": binding}, SCOPE)


@pytest.mark.parametrize("size", [0, 1, 10, 11, 101])
def test_a_list_of_a_stored_plan_keeps_its_order(size: int) -> None:
    members = {str(place): expression(f"inputs.count + {place}") for place in range(size)}

    bindings = stored({"a": nested("list", members)})

    assert {"a": [3 + place for place in range(size)]} == evaluate(bindings, SCOPE)


@pytest.mark.parametrize(
    "binding", [expression("missing.output"), template("{{ fetch.output.title }}"), expression("skipped.output.text")]
)
def test_a_value_that_is_missing_fails_without_quoting_data(binding: Binding) -> None:
    with pytest.raises(ExpressionFailed) as failure:
        evaluate({"a": nested("list", {"0": binding})}, SCOPE)

    assert not any(word in str(failure.value) for word in ("one", "two", "report"))


@given(st.lists(st.sampled_from(sorted(SCOPE)), unique=True))
def test_each_argument_has_its_own_value(names: list[str]) -> None:
    assert {name: SCOPE[name] for name in names} == evaluate({name: expression(name) for name in names}, SCOPE)

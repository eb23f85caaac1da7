import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import Json, canonical_json, sha256_hex
from agentflow.errors import BlobCorrupt
from runs.errors import PlanIncompatible
from runs.plan import (
    BODIES_FORMAT,
    PLAN_FORMAT,
    Binding,
    Fact,
    Leaf,
    ModelParameters,
    Plan,
    PlanNode,
    RetryPlan,
    StepPolicy,
    TimeoutPlan,
    decode_plan,
    encode_plan,
)
from tests.unit.json_values import JSON_VALUES

LEAF = Leaf(
    kind="llm",
    target="summarise@3",
    arguments={
        "text": Binding(kind="expression", source="ingest.output.text"),
        "options": Binding(
            kind="literal",
            shape="mapping",
            members={
                "tone": Binding(kind="template", source="very {{ inputs.tone }}"),
                "n": Binding(kind="literal", value=3),
            },
        ),
    },
    policy=StepPolicy(quality="Gold", sla_ms=2_000, pii="block"),
    reads=("ingest",),
    parameters=ModelParameters(temperature=0.2, stop=("END",)),
    output_schema={"type": "object", "properties": {"summary": {"type": "string"}}},
)
PLAN = Plan(
    format=PLAN_FORMAT,
    name="digest",
    version=2,
    nodes=(
        PlanNode(
            node_id="ingest",
            type="tool",
            leaf=Leaf(kind="tool", target="read_document", arguments={}, policy=StepPolicy()),
            upstream=(),
            retry=RetryPlan(),
            timeout=TimeoutPlan(run_seconds=60, idle_seconds=5.5),
            facts=(Fact(path=("pages",), kind="size"), Fact(path=("lang",), kind="value")),
        ),
        PlanNode(
            node_id="summarise",
            type="map",
            leaf=LEAF,
            upstream=("ingest",),
            retry=RetryPlan(attempts=2),
            timeout=TimeoutPlan(run_seconds=60.0, idle_seconds=5.0, queue_seconds=1.0, total_seconds=90.0),
            when="ingest.output.lang == 'en'",
            over_root="ingest",
            over_path=("pages",),
            window=8,
        ),
    ),
    inputs_schema={"type": "object"},
    input_facts=(Fact(path=("tone",), kind="value"),),
    outputs={"summaries": Binding(kind="expression", source="summarise.output")},
    output_reads=("summarise",),
    restore_outputs=True,
)


def altered(**changes: Any) -> tuple[str, bytes]:
    document = {**json.loads(encode_plan(PLAN)[1]), **changes}
    content = canonical_json(document)
    return sha256_hex(content), content


def test_a_plan_is_read_back_as_it_was_written() -> None:
    assert PLAN == decode_plan(*encode_plan(PLAN))


def test_a_plan_that_was_read_back_has_the_same_digest() -> None:
    digest, content = encode_plan(PLAN)

    assert (digest, content) == encode_plan(decode_plan(digest, content))
    assert digest == sha256_hex(content)


@given(JSON_VALUES, st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3))
def test_any_literal_and_schema_survive_the_way_there_and_back(value: Json, schema: dict[str, Any]) -> None:
    leaf = replace(LEAF, arguments={"x": Binding(kind="literal", value=value)}, output_schema=schema)
    plan = replace(PLAN, nodes=(replace(PLAN.nodes[0], leaf=leaf),))

    assert plan == decode_plan(*encode_plan(plan))


@pytest.mark.parametrize(
    "other", [replace(PLAN, version=3), replace(PLAN, nodes=PLAN.nodes[:1]), replace(PLAN, restore_outputs=False)]
)
def test_another_plan_has_another_digest(other: Plan) -> None:
    assert encode_plan(PLAN)[0] != encode_plan(other)[0]


def test_content_that_is_not_what_its_digest_says_is_corrupt() -> None:
    digest, content = encode_plan(PLAN)

    with pytest.raises(BlobCorrupt) as refusal:
        decode_plan(digest, content.replace(b"digest", b"digets"))

    assert digest == refusal.value.digest


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": BODIES_FORMAT + 1}, f"its format is {BODIES_FORMAT + 1}, this code reads {BODIES_FORMAT}"),
        ({"nodes": 3}, "1 fields do not fit"),
        ({"name": None, "version": "two"}, "2 fields do not fit"),
    ],
)
def test_a_plan_of_another_form_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    digest, content = altered(**changes)

    with pytest.raises(PlanIncompatible, match=reason) as refusal:
        decode_plan(digest, content)

    assert digest == refusal.value.digest


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b"{"])
def test_content_that_is_no_plan_is_refused(content: bytes) -> None:
    with pytest.raises(PlanIncompatible):
        decode_plan(sha256_hex(content), content)


def test_a_plan_of_a_later_compiler_with_one_more_optional_field_is_read() -> None:
    assert PLAN == decode_plan(*altered(added_later={"x": 1}))


def test_a_node_is_found_by_its_id() -> None:
    assert PLAN.nodes[1] == PLAN.node("summarise")
    with pytest.raises(KeyError, match="publish"):
        PLAN.node("publish")


@pytest.mark.parametrize(
    ("fact", "key"),
    [
        (Fact(path=(), kind="value"), "value:"),
        (Fact(path=("a", "b"), kind="value"), "value:a.b"),
        (Fact(path=("a",), kind="size"), "size:a"),
    ],
)
def test_a_fact_is_named_by_its_kind_and_path(fact: Fact, key: str) -> None:
    assert key == fact.key

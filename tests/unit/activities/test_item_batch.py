from collections.abc import Mapping
from typing import Any

from activities.errors import FunctionFailed
from activities.functions.function import Function
from activities.item_batch import INLINE_OUTPUT_BYTES, ItemBatch
from agentflow.digest import canonical_json, sha256_hex
from runs.models import StepState
from runs.plan import Binding, Leaf, PlanNode, RetryPlan, StepPolicy, TimeoutPlan
from runs.signatures import StepSignature


def _node(expression: str) -> PlanNode:
    leaf = Leaf(
        kind="function",
        target="double",
        arguments={"value": Binding(kind="expression", source=expression)},
        policy=StepPolicy(),
    )
    return PlanNode(
        node_id="each",
        type="map",
        leaf=leaf,
        upstream=(),
        retry=RetryPlan(),
        timeout=TimeoutPlan(run_seconds=60, idle_seconds=5),
    )


def _function(call: Any) -> Function:
    schema = {"type": "object", "properties": {"value": {"type": ["integer", "string"]}}}
    signature = StepSignature(
        name="double", description="Twice its value.", input_schema=schema, output_schema={"type": "object"}
    )
    return Function(signature=signature, call=call)


def _double(arguments: Mapping[str, Any]) -> dict[str, Any]:
    if arguments["value"] == 13:
        raise FunctionFailed(function="double", reason="thirteen")
    return {"twice": arguments["value"] * 2}


def _batch(items: list[tuple[int, Any]], expression: str = "item", call: Any = _double) -> ItemBatch:
    return ItemBatch(_node(expression), _function(call), {"inputs": {"base": 5}}, items)


def test_each_item_has_its_own_output() -> None:
    done = _batch([(4, 1), (5, 2)]).work(10)

    assert [(4, '{"twice":2}'), (5, '{"twice":4}')] == [(one.record.item_index, one.record.output) for one in done]


def test_an_item_sees_its_index_and_what_all_items_see() -> None:
    (done,) = _batch([(4, 1)], "item + index + inputs.base").work(10)

    assert '{"twice":20}' == done.record.output


def test_an_item_that_fails_fails_alone() -> None:
    done = _batch([(0, 1), (1, 13), (2, 2.5), (3, 3)]).work(10)

    assert [StepState.COMMITTED, StepState.FAILED, StepState.FAILED, StepState.COMMITTED] == [
        one.record.state for one in done
    ]
    assert ["function.failed", "scl.schema_violation"] == [one.record.error_code for one in done[1:3]]
    assert "thirteen" in str(done[1].record.error_message)


def test_an_output_that_breaks_the_functions_own_promise_is_a_failure() -> None:
    (done,) = _batch([(0, 1)], call=lambda _arguments: [1]).work(10)

    assert StepState.FAILED == done.record.state


def test_work_stops_when_its_time_is_over_and_goes_on_where_it_stopped() -> None:
    batch = _batch([(index, index) for index in range(5)])

    first = batch.work(0)
    rest = batch.work(10)

    assert [0] == [one.record.item_index for one in first]
    assert [1, 2, 3, 4] == [one.record.item_index for one in rest]
    assert batch.is_done()


def test_a_large_output_becomes_a_blob() -> None:
    text = "x" * INLINE_OUTPUT_BYTES

    (done,) = _batch([(0, text)], call=dict).work(10)

    content = canonical_json({"value": text})
    assert (None, sha256_hex(content), content) == (done.record.output, done.record.output_digest, done.blob)


def test_halves_of_surrogate_pairs_become_a_blob_because_no_text_column_takes_them() -> None:
    (done,) = _batch([(0, "\ud800")], call=dict).work(10)

    assert done.record.output is None
    assert done.blob is not None

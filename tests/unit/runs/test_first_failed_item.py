"""Of the items of a map the failed one with the lowest index is named, whichever failed first."""

from dataclasses import replace

from runs.models import Failure, MapState, StepState
from runs.plan_outline import outline_of
from runs.run_view import view_run
from tests.unit.runs.test_run_view import PLAN, RUN, START, node_view, step


def test_the_failed_item_with_the_lowest_index_is_named_before_those_that_were_cancelled() -> None:
    seen = node_view(
        "summarise",
        step("summarise", item=0, items=4, state=StepState.CANCELLED, error=("step.cancelled", "told to stop")),
        step("summarise", item=3, items=4, state=StepState.FAILED, error=("answer.cut", "first in time")),
        step("summarise", item=2, items=4, state=StepState.FAILED, error=("answer.empty", "first in the list")),
    )

    assert (2, "answer.empty", "first in the list") == (seen.error_item, seen.error_code, seen.error_message)


def test_a_step_that_is_no_item_has_no_index() -> None:
    seen = node_view("split", step("split", state=StepState.FAILED, error=("answer.cut", "half")))

    assert (None, "answer.cut") == (seen.error_item, seen.error_code)


def test_a_batched_map_shows_what_its_journal_names() -> None:
    opened = MapState(
        map_id=1,
        node_id="summarise",
        generation=0,
        item_count=9,
        is_batched=True,
        succeeded=7,
        failed=2,
        opened_at=START,
        closed_at=START,
        first_failed=Failure(item_index=4, error_code="expression.failed", error_message="by zero"),
    )

    nodes = view_run(replace(RUN), outline_of(PLAN), [], maps=[opened], inputs={}, outputs=None).nodes

    assert [(4, "expression.failed")] == [(n.error_item, n.error_code) for n in nodes if n.node_id == "summarise"]

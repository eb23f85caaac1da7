from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentflow.money import MicroUsd
from runs.models import Run, RunState, Step, StepKey, StepOutput, StepState, StepUsage
from runs.plan import PLAN_FORMAT, Leaf, NodeState, NodeType, Plan, PlanNode, RetryPlan, StepPolicy, TimeoutPlan
from runs.plan_outline import outline_of
from runs.run_view import NodeView, RunView, view_run

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = Run(
    run_id="run_1",
    org_id="org_1",
    workflow_name="digest",
    workflow_version=1,
    spec_digest="s",
    plan_digest="p",
    inputs_digest="i",
    state=RunState.RUNNING,
    idempotency_key=None,
    budget_micro_usd=None,
    cost_micro_usd=MicroUsd(0),
    created_at=START,
    started_at=START,
    finished_at=None,
    cancel_requested_at=None,
    outputs_digest=None,
    error_code=None,
    error_message=None,
    failed_node=None,
)


def node(node_id: str, node_type: NodeType = "llm", *, upstream: tuple[str, ...] = ()) -> PlanNode:
    return PlanNode(
        node_id=node_id,
        type=node_type,
        leaf=Leaf(kind="llm", target="summarise@1", arguments={}, policy=StepPolicy()),
        upstream=upstream,
        retry=RetryPlan(),
        timeout=TimeoutPlan(run_seconds=60, idle_seconds=5),
    )


PLAN = Plan(
    format=PLAN_FORMAT,
    name="digest",
    version=1,
    nodes=(node("split"), node("summarise", "map", upstream=("split",)), node("join", upstream=("summarise",))),
)


def step(
    node_id: str,
    *,
    state: StepState = StepState.COMMITTED,
    item: int | None = None,
    items: int | None = None,
    begun: float = 0,
    ended: float | None = None,
    attempt: int = 1,
    usage: StepUsage | None = None,
    error: tuple[str, str] | None = None,
) -> Step:
    """A step; `begun` and `ended` are seconds after the start."""
    return Step(
        key=StepKey(org_id="org_1", run_id="run_1", node_id=node_id, item_index=item),
        kind="llm",
        state=state,
        attempt=attempt,
        fence=attempt,
        item_count=items,
        output=StepOutput(digest="d", size_bytes=1, facts={}) if state is StepState.COMMITTED else None,
        usage=usage or StepUsage(),
        possible_duplicates=0,
        error_code=error[0] if error else None,
        error_message=error[1] if error else None,
        started_at=START + timedelta(seconds=begun),
        finished_at=None if ended is None else START + timedelta(seconds=ended),
    )


def view(*steps: Step, run: Run = RUN) -> RunView:
    return view_run(run, outline_of(PLAN), steps, inputs={"topic": "bees"}, outputs=None)


def node_view(node_id: str, *steps: Step, run: Run = RUN) -> NodeView:
    return next(node for node in view(*steps, run=run).nodes if node_id == node.node_id)


def test_nodes_stand_in_document_order_whatever_the_order_of_steps() -> None:
    seen = view(step("join"), step("split"))

    assert ["split", "summarise", "join"] == [node.node_id for node in seen.nodes]
    assert [(), ("split",), ("summarise",)] == [node.depends for node in seen.nodes]
    assert [("llm", "llm"), ("map", "llm"), ("llm", "llm")] == [(node.type, node.kind) for node in seen.nodes]
    assert ({"topic": "bees"}, None, RUN) == (seen.inputs, seen.outputs, seen.run)


def test_a_node_without_steps_is_pending_and_has_nothing_to_show() -> None:
    seen = node_view("summarise")

    assert seen.state is NodeState.PENDING
    assert (None, None, None) == (seen.started_at, seen.finished_at, seen.duration_seconds)
    assert (None, None, 0, 0) == (seen.items_total, seen.items_done, seen.attempts, seen.cost_micro_usd)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (StepState.CLAIMED, NodeState.RUNNING),
        (StepState.COMMITTED, NodeState.SUCCEEDED),
        # Another attempt may follow.
        (StepState.FAILED, NodeState.RUNNING),
    ],
)
def test_a_node_of_a_run_that_goes_on_stands_as_its_step_does(state: StepState, expected: NodeState) -> None:
    assert expected == node_view("split", step("split", state=state)).state


def test_a_map_runs_until_its_last_item_is_done() -> None:
    begun = node_view(
        "summarise", step("summarise", item=1, items=2), step("summarise", item=0, items=2, state=StepState.CLAIMED)
    )
    done = node_view("summarise", step("summarise", item=1, items=2), step("summarise", item=0, items=2))

    assert (NodeState.RUNNING, 2, 1) == (begun.state, begun.items_total, begun.items_done)
    assert (NodeState.SUCCEEDED, 2, 2) == (done.state, done.items_total, done.items_done)


def test_a_map_of_which_some_items_have_not_begun_runs() -> None:
    seen = node_view("summarise", step("summarise", item=0, items=3), step("summarise", item=1, items=3))

    assert (NodeState.RUNNING, 3, 2) == (seen.state, seen.items_total, seen.items_done)


def test_only_a_map_has_items() -> None:
    seen = node_view("split", step("split"))

    assert (None, None) == (seen.items_total, seen.items_done)


@pytest.mark.parametrize("state", [NodeState.FAILED, NodeState.SKIPPED, NodeState.CANCELLED, NodeState.SUCCEEDED])
def test_what_the_run_recorded_at_its_end_goes_before_what_the_steps_say(state: NodeState) -> None:
    run = replace(RUN, state=RunState.FAILED, node_states={"split": state})

    assert state == node_view("split", step("split", state=StepState.CLAIMED), run=run).state


def test_a_node_lasts_from_its_first_beginning_to_its_last_end() -> None:
    seen = node_view(
        "summarise",
        step("summarise", item=0, items=2, begun=3, ended=5),
        step("summarise", item=1, items=2, begun=1, ended=9.5),
    )

    assert (START + timedelta(seconds=1), START + timedelta(seconds=9.5), 8.5) == (
        seen.started_at,
        seen.finished_at,
        seen.duration_seconds,
    )


def test_a_node_that_runs_has_no_end_though_some_of_its_items_have() -> None:
    seen = node_view(
        "summarise",
        step("summarise", item=0, items=2, begun=1, ended=2),
        step("summarise", item=1, items=2, begun=1, state=StepState.CLAIMED),
    )

    assert (START + timedelta(seconds=1), None, None) == (seen.started_at, seen.finished_at, seen.duration_seconds)


def test_a_node_never_lasts_less_than_nothing() -> None:
    assert node_view("split", step("split", begun=2, ended=1)).duration_seconds == 0.0


def test_usage_is_added_over_steps_nodes_and_kinds_of_personal_data() -> None:
    first = StepUsage(
        model="small", input_tokens=10, output_tokens=1, cost_micro_usd=MicroUsd(5), pii={"EMAIL": 1, "PHONE": 2}
    )
    second = StepUsage(model="large", input_tokens=20, output_tokens=2, cost_micro_usd=MicroUsd(7), pii={"EMAIL": 3})
    cached = StepUsage(model="small", cache_hit=True)

    seen = view(
        step("summarise", item=0, items=3, usage=first),
        step("summarise", item=1, items=3, usage=second, attempt=4),
        step("summarise", item=2, items=3, usage=cached),
        step("join", usage=first),
    )

    node = seen.nodes[1]
    assert (30, 3, 12, 1, 4) == (
        node.input_tokens,
        node.output_tokens,
        node.cost_micro_usd,
        node.cache_hits,
        node.attempts,
    )
    assert ("small", "large") == node.models
    assert {"EMAIL": 4, "PHONE": 2} == node.pii
    assert (40, 4, {"EMAIL": 5, "PHONE": 4}) == (seen.input_tokens, seen.output_tokens, seen.pii)
    assert ["EMAIL", "PHONE"] == list(seen.pii)


def test_a_node_shows_the_first_of_its_steps_errors() -> None:
    seen = node_view(
        "summarise",
        step("summarise", item=0, items=3),
        step("summarise", item=1, items=3, state=StepState.FAILED, error=("cas.rate_limited", "slow down")),
        step("summarise", item=2, items=3, state=StepState.FAILED, error=("step.failed", "other")),
    )

    assert ("cas.rate_limited", "slow down") == (seen.error_code, seen.error_message)


def test_a_step_of_a_node_that_the_plan_does_not_have_is_left_out() -> None:
    assert view() == view(step("gone", usage=StepUsage(input_tokens=5)))

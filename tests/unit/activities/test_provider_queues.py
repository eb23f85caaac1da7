"""Which task queue a node's model calls wait in."""

import pytest

from activities.payloads import SkeletonNode
from activities.skeleton import skeleton_of
from runs.plan import BranchPlan, Leaf, ModelParameters, PlanNode, RetryPlan, StepPolicy, TimeoutPlan

TIMEOUT = TimeoutPlan(run_seconds=60, idle_seconds=10)


def leaf(model: str | None) -> Leaf:
    parameters = ModelParameters(model=model)
    return Leaf(kind="llm", target="ask@1", arguments={}, policy=StepPolicy(), parameters=parameters)


def node(model: str | None, **branches: BranchPlan) -> PlanNode:
    return PlanNode(
        node_id="ask",
        type="race" if branches else "llm",
        leaf=leaf(model),
        upstream=(),
        retry=RetryPlan(),
        timeout=TIMEOUT,
        branches=branches,
    )


def skeleton(found: PlanNode) -> SkeletonNode:
    return skeleton_of(found, {"ask@1": "ask@1"}, ("openai",))


@pytest.mark.parametrize(
    ("model", "queue"),
    [("openai/gpt-5-mini", "agentflow-llm-openai"), ("anthropic/claude-sonnet-4-5", None), (None, None)],
)
def test_a_call_that_is_pinned_waits_in_its_providers_queue_where_there_is_one(
    model: str | None, queue: str | None
) -> None:
    assert queue == skeleton(node(model)).llm_queue


def test_the_branches_of_a_race_wait_each_in_the_queue_of_its_own_provider() -> None:
    fast, sound = [
        BranchPlan(leaf=leaf(model), retry=RetryPlan(), timeout=TIMEOUT) for model in ("openai/a", "anthropic/b")
    ]

    branches = skeleton(node(None, fast=fast, sound=sound)).branches

    assert {"fast": "agentflow-llm-openai", "sound": None} == {each.node_id: each.llm_queue for each in branches}

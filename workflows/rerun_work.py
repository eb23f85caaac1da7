"""What repeating a run does with plans and inputs alone: functions that can run in a process of their own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.errors import RerunInvalid
from runs.plan import EncodedPlan, NodeState, Plan, decode_plan
from runs.rerun_plan import NodeDecision, NodeResult, changed_names, plan_rerun
from workflows.run_inputs import StoredInputs, accepted_inputs, stored_inputs, with_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedInputs:
    """The inputs of a run that repeats another, and the names of those that are otherwise than there."""

    inputs: StoredInputs
    names: frozenset[str]


def changed_inputs(
    earlier: bytes, changes: Mapping[str, Any], schema: bytes | None, is_repeated: bool, run_id: str
) -> ChangedInputs:
    """A run's stored inputs with changes; raises RerunInvalid, and as `accepted_inputs`."""
    before = json.loads(earlier)
    changed = with_changes(before, changes, run_id=run_id)
    accepted = accepted_inputs(changed, schema)
    if is_repeated:
        # It keeps its inputs, those from before there were defaults too.
        return ChangedInputs(inputs=stored_inputs(changed), names=frozenset())
    return ChangedInputs(inputs=accepted, names=changed_names(before, json.loads(accepted.content)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """Which run is to run again, as what, and what is wished."""

    run_id: str
    earlier: EncodedPlan
    plan: EncodedPlan
    #: What is recorded of the earlier run's nodes.
    results: Mapping[str, NodeResult]
    from_nodes: tuple[str, ...]
    failed_only: bool
    changed_inputs: frozenset[str]
    #: Map → how many of its items failed and are to run again.
    failed_items: Mapping[str, int]


def decide(wish: Repetition) -> tuple[NodeDecision, ...]:
    """A decision for each node; raises RerunInvalid when the wish names what is not there, or contradicts itself."""
    earlier = decode_plan(*wish.earlier)
    plan = earlier if wish.plan.digest == wish.earlier.digest else decode_plan(*wish.plan)
    decisions = plan_rerun(
        earlier=earlier,
        plan=plan,
        results=wish.results,
        from_nodes=wish.from_nodes,
        changed_inputs=wish.changed_inputs,
        failed_items=wish.failed_items,
    )
    _check_wish(wish, plan, decisions)
    return decisions


def _check_wish(wish: Repetition, plan: Plan, decisions: tuple[NodeDecision, ...]) -> None:
    """Raises RerunInvalid when the wish names what is not there, or contradicts itself."""
    known = {node.node_id: node for node in plan.nodes}
    for node_id in wish.from_nodes:
        if node_id not in known:
            raise RerunInvalid(
                run_id=wish.run_id, reason=f"there is no node {node_id!r}; there is {', '.join(sorted(known))}"
            )
    if not wish.failed_only:
        return
    if wish.from_nodes:
        raise RerunInvalid(run_id=wish.run_id, reason="name nodes to begin from, or failed ones only, not both")
    for decision in decisions:
        earlier = wish.results.get(decision.node_id)
        stands = earlier is not None and earlier.state is NodeState.SUCCEEDED and not earlier.is_taken_back
        # Those of `finally` are to run with whatever runs.
        if not decision.reused and stands and not known[decision.node_id].is_final:
            raise RerunInvalid(
                run_id=wish.run_id,
                reason=f"failed nodes only are to run, but node {decision.node_id!r} succeeded and would run again, "
                f"because {decision.reason}",
            )

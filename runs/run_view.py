"""How a run stands, for people: its plan, its journal and its own row put together; pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agentflow.money import MicroUsd
from runs.models import Run, Step, StepState
from runs.plan import NodeState, Plan, PlanNode


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """How one node of a run stands."""

    node_id: str
    #: `llm`, `tool`, `function`, `map` or `reduce`.
    type: str
    #: What does its work: `llm`, `tool` or `function`.
    kind: str
    depends: tuple[str, ...]
    state: NodeState
    #: Only for a map, once its first item has begun.
    items_total: int | None
    items_done: int | None
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    #: The most attempts that any of its steps took.
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: MicroUsd
    models: tuple[str, ...]
    cache_hits: int
    #: Kind of personal data → occurrences that were tokenised.
    pii: Mapping[str, int]
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run with its nodes in document order."""

    run: Run
    inputs: Mapping[str, Any]
    #: None until the run has succeeded.
    outputs: Mapping[str, Any] | None
    nodes: tuple[NodeView, ...]
    pii: Mapping[str, int] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0


def view_run(
    run: Run, plan: Plan, steps: Iterable[Step], *, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None
) -> RunView:
    """The view of a run from what is recorded of it."""
    by_node: dict[str, list[Step]] = {node.node_id: [] for node in plan.nodes}
    for step in steps:
        by_node.setdefault(step.key.node_id, []).append(step)
    nodes = tuple(_node(run, node, by_node[node.node_id]) for node in plan.nodes)
    pii: Counter[str] = Counter()
    for node in nodes:
        pii.update(node.pii)
    return RunView(
        run=run,
        inputs=inputs,
        outputs=outputs,
        nodes=nodes,
        pii=dict(sorted(pii.items())),
        input_tokens=sum(node.input_tokens for node in nodes),
        output_tokens=sum(node.output_tokens for node in nodes),
    )


def _node(run: Run, node: PlanNode, steps: Sequence[Step]) -> NodeView:
    state = run.node_states.get(node.node_id) or _live_state(node, steps)
    started = min((step.started_at for step in steps), default=None)
    ended = [step.finished_at for step in steps if step.finished_at is not None]
    has_ended = state not in {NodeState.PENDING, NodeState.RUNNING}
    finished = max(ended) if ended and has_ended else None
    pii: Counter[str] = Counter()
    for step in steps:
        pii.update(step.usage.pii)
    failed = next((step for step in steps if step.error_code is not None), None)
    is_map = node.type == "map"
    return NodeView(
        node_id=node.node_id,
        type=node.type,
        kind=node.leaf.kind,
        depends=node.upstream,
        state=state,
        items_total=max((step.item_count or 0 for step in steps), default=0) if is_map and steps else None,
        items_done=sum(step.state is StepState.COMMITTED for step in steps) if is_map and steps else None,
        started_at=started,
        finished_at=finished,
        duration_seconds=max((finished - started).total_seconds(), 0.0) if finished and started else None,
        attempts=max((step.attempt for step in steps), default=0),
        input_tokens=sum(step.usage.input_tokens for step in steps),
        output_tokens=sum(step.usage.output_tokens for step in steps),
        cost_micro_usd=MicroUsd(sum(step.usage.cost_micro_usd for step in steps)),
        models=tuple(dict.fromkeys(step.usage.model for step in steps if step.usage.model is not None)),
        cache_hits=sum(step.usage.cache_hit for step in steps),
        pii=dict(sorted(pii.items())),
        error_code=failed.error_code if failed else None,
        error_message=failed.error_message if failed else None,
    )


def _live_state(node: PlanNode, steps: Sequence[Step]) -> NodeState:
    """The state of a node of a run that has not ended; a failed attempt may still be followed by another."""
    if not steps:
        return NodeState.PENDING
    wanted = (max(step.item_count or 0 for step in steps)) if node.type == "map" else 1
    done = sum(step.state is StepState.COMMITTED for step in steps)
    return NodeState.SUCCEEDED if done >= wanted else NodeState.RUNNING

"""How large a run of a plan can become, worked out before it starts: steps, histories, work under way, calls; pure.

Every map, loop and tree has a bound, so every plan has one; the figures are those of the worst case, in which every
list is as long as it may be, no condition skips anything, and every step needs all its attempts.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from runs.plan import PROMPTED_KINDS, BranchPlan, Leaf, MapPlan, Plan, PlanNode

#: A run that may come to more is refused: nobody means it.
MAX_STEPS = 100_000_000
#: Of one activity, with the workflow task that it wakes (Temporal's event types; six at the most).
EVENTS_OF_STEP = 6
#: Of a run below: two activities, and a child workflow.
EVENTS_OF_CHILD = 2 * EVENTS_OF_STEP + 9
_EVENTS_OF_SHARD = 12
#: Set and fired, with the workflow task that it wakes.
_EVENTS_OF_TIMER = 5
#: A run continues as new from here on, once nothing is under way.
_HISTORY_EVENTS = 4_000
#: The interpreter's own bounds: what it keeps under way in one history, what a shard takes, shards at once.
_STEPS_UNDER_WAY = 400
_SHARD_STEPS = 500
_SHARDS_BELOW = 200
_SHARDS_AT_ONCE = 2
#: Calls of one turn of an agent.
_CALLS_AT_ONCE = 32
#: Short maps: steps in the run's own history.
_INLINE_ITEMS = 200
_FEW_ITEMS = 16
#: A step's call and result as they stand in history, and what each reference to another node adds.
_BYTES_OF_STEP = 1_200
_BYTES_OF_REFERENCE = 120

Strategy = Literal["inline", "batched", "sharded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalls:
    """Calls of a model that cost the same at the most."""

    quality: str
    #: `provider/model` where the node pins one.
    model: str | None
    max_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBounds:
    """The worst case of one node."""

    node_id: str
    #: Rows of the journal, those of runs below included: items count, and a repeated attempt is the same step.
    steps: int
    #: Workflows besides the run's own: shards, and runs below.
    workflows: int
    #: In the run's own history.
    events: int
    bytes: int
    #: Activities and child workflows of it that the run's own history has under way at once.
    pending: int
    #: How a map works through its longest list; None for other nodes.
    strategy: Strategy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBounds:
    """The worst case of a run."""

    nodes: tuple[NodeBounds, ...]
    steps: int
    workflows: int
    #: The longest history of any of its workflows, in events and bytes.
    events: int
    bytes: int
    #: The most activities and child workflows that any one of its workflows has under way.
    pending: int
    #: Kind of call → how many, every attempt counted.
    model_calls: Mapping[ModelCalls, int] = field(default_factory=dict)


def bounds_of(plan: Plan) -> PlanBounds:
    """The worst case of a run of `plan`."""
    below: list[PlanBounds] = []
    calls: Counter[ModelCalls] = Counter()
    nodes = tuple(_node(node, below, calls) for node in plan.nodes)
    # Opening and closing.
    own_events = sum(node.events for node in nodes) + 2 * EVENTS_OF_STEP
    own_bytes = sum(node.bytes for node in nodes) + 2 * _BYTES_OF_STEP
    # When history is full nothing more begins, and what is under way comes to its end.
    most_at_once = EVENTS_OF_STEP * _STEPS_UNDER_WAY + sum(min(node.events, EVENTS_OF_CHILD) for node in nodes)
    events = min(own_events, _HISTORY_EVENTS + most_at_once)
    bodies = [node.leaf for node, found in zip(plan.nodes, nodes, strict=True) if found.strategy == "sharded"]
    shards = [_steps_of_shard(leaf) * _events_of(leaf) + _EVENTS_OF_SHARD for leaf in bodies]
    return PlanBounds(
        nodes=nodes,
        steps=sum(node.steps for node in nodes) + 2,
        workflows=1 + sum(node.workflows for node in nodes),
        events=max([events, *(inner.events for inner in below), *shards]),
        bytes=max([math.ceil(own_bytes * events / own_events), *(inner.bytes for inner in below)]),
        pending=max([sum(node.pending for node in nodes), *(inner.pending for inner in below)]),
        model_calls=dict(calls),
    )


def largest_node(bounds: PlanBounds) -> NodeBounds:
    """The node that most steps are of."""
    return max(bounds.nodes, key=lambda node: node.steps)


def _node(node: PlanNode, below: list[PlanBounds], calls: Counter[ModelCalls]) -> NodeBounds:
    steps = workflows = 0
    for leaf, attempts, times in _work(node):
        inner = bounds_of(leaf.plan) if leaf.plan is not None else None
        if inner is not None:
            below.append(inner)
            calls.update({kind: count * times for kind, count in inner.model_calls.items()})
        steps += times * (2 + inner.steps if inner is not None else 1)
        workflows += times * inner.workflows if inner is not None else 0
        if leaf.kind in PROMPTED_KINDS:
            calls[_calls_of(leaf)] += times * attempts
    if node.agent is not None:
        steps += node.agent.max_tool_calls
    return _in_history(node, steps, workflows)


def _work(node: PlanNode) -> list[tuple[Leaf, int, int]]:
    """What the node does: each leaf, its attempts, and how often."""
    own = BranchPlan(leaf=node.leaf, retry=node.retry, timeout=node.timeout)
    parts = [(own, times_of(node))] if node.type != "race" else [(branch, 1) for branch in node.branches.values()]
    if node.compensate is not None:
        parts.append((node.compensate, 1))
    return [(part.leaf, part.retry.attempts, times) for part, times in parts]


def times_of(node: PlanNode) -> int:
    """How often the node's body runs at the most."""
    if node.type == "map":
        return (node.map or MapPlan()).max_items
    if node.loop is not None:
        return node.loop.max_iterations
    if node.agent is not None:
        return node.agent.max_iterations
    # A longer tree is refused when it is met.
    return _STEPS_UNDER_WAY if node.fan_in is not None else 1


def _in_history(node: PlanNode, steps: int, workflows: int) -> NodeBounds:
    """The node in the run's own history."""
    bytes_each = _BYTES_OF_STEP + _BYTES_OF_REFERENCE * len(node.leaf.reads)
    count, pending, strategy, extra = times_of(node), node.window, None, 1
    if node.type == "map":
        count, pending, strategy, shards = _map(node, count)
        workflows += shards
    elif node.type == "race":
        count, pending = len(node.branches), len(node.branches)
    elif node.agent is not None:
        count += node.agent.max_tool_calls
        pending = max(min(_CALLS_AT_ONCE, node.agent.max_tool_calls), 1) if node.agent.parallel_tools else 1
    elif node.gate is not None:
        count = 2 + len(node.gate.escalations)
    elif node.loop is None and node.fan_in is None:
        extra = 0
    events = count * _events_of(node.leaf) + extra * EVENTS_OF_STEP
    events += (count - 1) * _EVENTS_OF_TIMER if node.loop is not None and node.loop.delay_seconds else 0
    # What a branch or a compensation does is not what the node does.
    events += sum(_events_of(branch.leaf) - EVENTS_OF_STEP for branch in node.branches.values())
    events += _events_of(node.compensate.leaf) if node.compensate is not None else 0
    return NodeBounds(
        node_id=node.node_id,
        steps=steps + extra,
        workflows=workflows,
        events=events,
        bytes=(count + extra + (node.compensate is not None)) * bytes_each,
        pending=min(pending, count),
        strategy=strategy,
    )


def _events_of(leaf: Leaf) -> int:
    return EVENTS_OF_CHILD if leaf.kind == "workflow" else EVENTS_OF_STEP


def _steps_of_shard(leaf: Leaf) -> int:
    return _SHARD_STEPS // (_events_of(leaf) // EVENTS_OF_STEP)


def _map(node: PlanNode, items: int) -> tuple[int, int, Strategy, int]:
    """Steps or shards in the run's own history, how many at once, how, and how many shards there are in all."""
    settings = node.map or MapPlan()
    steps = math.ceil(items / settings.batch)
    if items <= (_INLINE_ITEMS if settings.batch == 1 else _FEW_ITEMS):
        return items, node.window, "inline", 0
    if steps <= _INLINE_ITEMS and steps * (_events_of(node.leaf) // EVENTS_OF_STEP) <= _STEPS_UNDER_WAY:
        return steps, node.window, "batched" if settings.batch > 1 else "inline", 0
    shards = in_all = math.ceil(steps / _steps_of_shard(node.leaf))
    while shards > _SHARDS_BELOW:
        shards = math.ceil(shards / _SHARDS_BELOW)
        in_all += shards
    return shards, min(_SHARDS_AT_ONCE, node.window), "sharded", in_all


def _calls_of(leaf: Leaf) -> ModelCalls:
    parameters = leaf.parameters
    return ModelCalls(
        quality=leaf.policy.quality,
        model=parameters.model if parameters is not None else None,
        max_output_tokens=parameters.max_output_tokens if parameters is not None else 0,
    )

"""How a run stands, for people: its plan, its journal and its own row put together; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from agentflow.money import MicroUsd
from runs.agent_plan import CALL_PREFIX, TURN_PREFIX
from runs.gate_models import Gate, GateState
from runs.models import Failure, ItemsSummary, MapState, Run, RunsBelow, Step, StepState
from runs.plan import COMPENSATION, NodeState
from runs.plan_outline import NodeOutline, PlanOutline
from runs.rerun_plan import NodeResult, ReuseManifest

CompensationState = Literal["running", "succeeded", "failed", "cancelled", "in_doubt"]
_COMPENSATIONS: Mapping[StepState, CompensationState] = {
    StepState.CLAIMED: "running",
    StepState.COMMITTED: "succeeded",
    StepState.FAILED: "failed",
    StepState.CANCELLED: "cancelled",
    StepState.IN_DOUBT: "in_doubt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """How one node of a run stands."""

    node_id: str
    #: As in the document: `llm`, `tool`, `map` …
    type: str
    #: What does its work: for `map` and `reduce` that of their body.
    kind: str
    depends: tuple[str, ...]
    state: NodeState
    #: Only for a map, once its first item has begun.
    items_total: int | None
    items_done: int | None
    #: Of those that are done.
    items_failed: int | None
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
    #: Of a map with failed items: the index of the first of them, which the error is of.
    error_item: int | None
    #: True when its output is an earlier run's.
    reused: bool = False
    #: How many runs there are below it.
    runs_below: int = 0
    #: Only for an agent that has begun.
    turns: int | None = None
    tool_calls: int | None = None
    #: Steps of it whose effect nobody knows.
    in_doubt: int = 0
    #: How taking it back stands; None when nothing is taken back.
    compensation: CompensationState | None = None


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
    #: Steps whose effect nobody knows.
    in_doubt: int = 0
    #: Where it waits among its organisation's runs, from 1; None once it has been let in.
    queue_place: int | None = None
    #: The gates that wait for a person, of the run and of those below it.
    waiting: tuple[str, ...] = ()
    #: Money of calls under way, and of calls whose end nobody knows; none of it is in the cost.
    held_micro_usd: MicroUsd = MicroUsd(0)
    uncertain_micro_usd: MicroUsd = MicroUsd(0)


def view_run(
    run: Run,
    plan: PlanOutline,
    steps: Iterable[Step],
    *,
    maps: Iterable[MapState] = (),
    summaries: Iterable[ItemsSummary] = (),
    gates: Iterable[Gate] = (),
    below: Iterable[RunsBelow] = (),
    manifest: ReuseManifest | None = None,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any] | None,
    gathered: Collection[str] = (),
    queue_place: int | None = None,
    waiting: tuple[str, ...] = (),
    held: MicroUsd = MicroUsd(0),
    uncertain: MicroUsd = MicroUsd(0),
) -> RunView:
    """The view of a run from what is recorded of it.

    `maps` are those of many items, and `gathered` the ids of those whose output is recorded, long or short.
    """
    opened = {state.node_id: state for state in maps}
    open_gates = {gate.node_id: gate for gate in gates if gate.state is GateState.OPEN}
    reused = manifest.nodes if manifest is not None else {}
    by_node: dict[str, list[Step]] = {node.node_id: [] for node in plan.nodes}
    for step in steps:
        by_node.setdefault(step.key.node_id, []).append(step)
    items = {summary.node_id: summary for summary in summaries}
    views = (
        _node(run, node, by_node[node.node_id], opened.get(node.node_id), reused.get(node.node_id))
        for node in plan.nodes
    )
    views = (_as_gathered(run, view) if view.node_id in gathered else view for view in views)
    nodes = tuple(
        _with_gate(_with_items(view, items.get(view.node_id)), open_gates.get(view.node_id)) for view in views
    )
    under = {found.node_id: found for found in below}
    nodes = tuple(_with_runs(view, under.get(view.node_id)) for view in nodes)
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
        in_doubt=sum(node.in_doubt for node in nodes),
        queue_place=queue_place,
        waiting=waiting,
        held_micro_usd=held,
        uncertain_micro_usd=uncertain,
    )


def _node(
    run: Run, node: NodeOutline, steps: Sequence[Step], opened: MapState | None, reused: NodeResult | None
) -> NodeView:
    items = _items(node, steps, opened)
    state = reused.state if reused is not None else run.node_states.get(node.node_id)
    state = state or _live_state(steps, opened, items)
    # What takes a node back comes long after it, and is no part of the time that it took.
    own = [step for step in steps if step.key.part != COMPENSATION]
    started = opened.opened_at if opened is not None else min((step.started_at for step in own), default=None)
    ended = [step.finished_at for step in own if step.finished_at is not None]
    if opened is not None and opened.closed_at is not None:
        ended.append(opened.closed_at)
    has_ended = state not in {NodeState.PENDING, NodeState.RUNNING}
    finished = max(ended) if ended and has_ended else None
    pii: Counter[str] = Counter()
    for step in steps:
        pii.update(step.usage.pii)
    failed = _first_failure(steps, opened)
    return NodeView(
        node_id=node.node_id,
        type=node.type,
        kind=node.kind,
        depends=node.upstream,
        state=state,
        items_total=items.total if items is not None else None,
        items_done=items.done if items is not None else None,
        items_failed=items.failed if items is not None else None,
        started_at=started,
        finished_at=finished,
        duration_seconds=max((finished - started).total_seconds(), 0.0) if finished and started else None,
        attempts=max((step.attempt for step in steps), default=0 if opened is None else 1),
        input_tokens=sum(step.usage.input_tokens for step in steps),
        output_tokens=sum(step.usage.output_tokens for step in steps),
        cost_micro_usd=MicroUsd(sum(step.usage.cost_micro_usd for step in steps)),
        models=tuple(dict.fromkeys(step.usage.model for step in steps if step.usage.model is not None)),
        cache_hits=sum(step.usage.cache_hit for step in steps),
        pii=dict(sorted(pii.items())),
        error_code=failed.error_code if failed else None,
        error_message=failed.error_message if failed else None,
        error_item=failed.item_index if failed else None,
        reused=reused is not None,
        turns=_parts(node, steps, TURN_PREFIX),
        tool_calls=_parts(node, steps, CALL_PREFIX),
        in_doubt=sum(step.state is StepState.IN_DOUBT for step in steps),
        compensation=next((_COMPENSATIONS[step.state] for step in steps if step.key.part == COMPENSATION), None),
    )


def _as_gathered(run: Run, view: NodeView) -> NodeView:
    """A map whose output is recorded, though items of it may have failed."""
    if run.state.is_final or view.state is not NodeState.RUNNING:
        return view
    return replace(view, state=NodeState.SUCCEEDED)


def _first_failure(steps: Sequence[Step], opened: MapState | None) -> Failure | None:
    """The failed item with the lowest index, or the step that failed first; without one, what else went wrong."""
    if opened is not None and opened.first_failed is not None:
        return opened.first_failed
    wrong = [step for step in steps if step.error_code is not None]
    if not wrong:
        return None
    first = min(wrong, key=lambda step: (step.state is not StepState.FAILED, step.key.item_index or 0))
    return Failure(item_index=first.key.item_index, error_code=first.error_code, error_message=first.error_message)


def _parts(node: NodeOutline, steps: Sequence[Step], prefix: str) -> int | None:
    """How many steps of an agent are turns, or calls; None for any other node, and before it has begun."""
    if not node.has_turns or not steps:
        return None
    return sum((step.key.part or "").startswith(prefix) for step in steps)


def _with_items(view: NodeView, items: ItemsSummary | None) -> NodeView:
    """A large map with what its items come to."""
    if items is None:
        return view
    return replace(
        view,
        items_done=max(view.items_done or 0, items.done + items.failed),
        items_failed=max(view.items_failed or 0, items.failed),
        attempts=items.attempts,
        input_tokens=items.input_tokens,
        output_tokens=items.output_tokens,
        cost_micro_usd=items.cost_micro_usd,
        models=items.models,
        cache_hits=items.cache_hits,
        pii=dict(sorted(items.pii.items())),
        error_code=items.error_code,
        error_message=items.error_message,
        error_item=items.first_failed_index,
        in_doubt=items.in_doubt,
    )


def _with_runs(view: NodeView, below: RunsBelow | None) -> NodeView:
    """A node with what the runs below it come to, which are under way before any step of it is."""
    if below is None:
        return view
    return replace(
        view,
        runs_below=below.runs,
        state=NodeState.RUNNING if below.running and view.state is NodeState.PENDING else view.state,
        input_tokens=view.input_tokens + below.input_tokens,
        output_tokens=view.output_tokens + below.output_tokens,
        cost_micro_usd=MicroUsd(view.cost_micro_usd + below.cost_micro_usd),
        pii=dict(sorted((Counter(view.pii) + Counter(below.pii)).items())),
    )


def _with_gate(view: NodeView, gate: Gate | None) -> NodeView:
    """A node that waits for something from outside has begun, though no step of it has."""
    if gate is None or view.state is not NodeState.PENDING:
        return view
    return replace(view, state=NodeState.RUNNING, started_at=gate.opened_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Items:
    """How the items of a map count up."""

    total: int
    done: int
    failed: int


def _items(node: NodeOutline, steps: Sequence[Step], opened: MapState | None) -> _Items | None:
    """The items of a map that has begun; None for any other node."""
    # One that has ended counts items of which nothing is recorded, too.
    if opened is not None and (opened.is_batched or opened.closed_at is not None):
        return _Items(total=opened.item_count, done=opened.succeeded + opened.failed, failed=opened.failed)
    if node.type != "map" or not (steps or opened):
        return None
    total = opened.item_count if opened is not None else max(step.item_count or 0 for step in steps)
    failed = sum(step.state is StepState.FAILED for step in steps)
    return _Items(total=total, done=sum(step.state is StepState.COMMITTED for step in steps) + failed, failed=failed)


def _live_state(steps: Sequence[Step], opened: MapState | None, items: _Items | None) -> NodeState:
    """The state of a node of a run that has not ended; a failed attempt may still be followed by another."""
    if opened is not None:
        return NodeState.RUNNING if opened.closed_at is None else NodeState.SUCCEEDED
    if not steps:
        return NodeState.PENDING
    if items is not None:
        return NodeState.SUCCEEDED if items.done - items.failed >= items.total else NodeState.RUNNING
    # Of a node that is made of several steps, its own is the last.
    done = sum(step.state is StepState.COMMITTED for step in steps if step.key.part is None)
    return NodeState.SUCCEEDED if done else NodeState.RUNNING

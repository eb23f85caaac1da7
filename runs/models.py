"""Frozen values of specs, runs and steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from agentflow.money import MicroUsd
from runs.effects import EffectClass
from runs.plan import NodeState


class RunState(StrEnum):
    """Where a run stands."""

    #: Recorded; its workflow is about to start, or waits for its turn.
    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}


class StepState(StrEnum):
    """Where a step stands in the effect journal."""

    CLAIMED = "claimed"
    COMMITTED = "committed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Its effect may have happened or not, and a person is to say which.
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A registered workflow document."""

    org_id: str
    name: str
    version: int
    #: SHA-256 of the document as data: comments and formatting do not count.
    digest: str
    document: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParent:
    """Where a run below another one belongs."""

    run_id: str
    node_id: str
    #: The run at the top.
    root_run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run about to be recorded."""

    run_id: str
    org_id: str
    workflow_name: str
    workflow_version: int
    spec_digest: str
    plan_digest: str
    inputs_digest: str
    idempotency_key: str | None
    budget_micro_usd: MicroUsd | None
    rerun_of: str | None = None
    reuse_digest: str | None = None
    parent: RunParent | None = None
    #: Temporal's priority of its work, 1 to 5, and the key and weight that its share of a busy queue goes by.
    priority: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as recorded."""

    run_id: str
    org_id: str
    workflow_name: str
    workflow_version: int
    spec_digest: str
    plan_digest: str
    inputs_digest: str
    state: RunState
    idempotency_key: str | None
    budget_micro_usd: MicroUsd | None
    cost_micro_usd: MicroUsd
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    outputs_digest: str | None
    error_code: str | None
    error_message: str | None
    failed_node: str | None
    #: Node id → state, written when the run ends.
    node_states: Mapping[str, NodeState] = field(default_factory=dict)
    #: The run that this one repeats.
    rerun_of: str | None = None
    #: The manifest of what it takes over from that run.
    reuse_digest: str | None = None
    #: Of a run below another: that one, its node, and the run at the top.
    parent_run_id: str | None = None
    parent_node_id: str | None = None
    root_run_id: str | None = None
    #: Since when nothing more begins, until someone resumes it.
    paused_at: datetime | None = None
    #: When it was let in; a submitted run without it waits for its turn.
    admitted_at: datetime | None = None
    priority: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = None

    @property
    def is_queued(self) -> bool:
        """Whether it waits for its turn."""
        return self.state is RunState.SUBMITTED and self.admitted_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsBelow:
    """What the runs below one node of a run come to."""

    node_id: str
    runs: int
    running: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: MicroUsd
    #: Kind → how often it was found.
    pii: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepKey:
    """Which step of which logical run; the journal's identity, independent of Temporal's run ids and attempts."""

    org_id: str
    run_id: str
    node_id: str
    item_index: int | None = None
    generation: int = 0
    #: Which of the steps that a node is made of: an iteration, a branch, its compensation; None for its own step.
    part: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput:
    """The recorded result of a step: where its output is, and what scheduling needs of it."""

    digest: str
    size_bytes: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUsage:
    """What a step used."""

    provider: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: MicroUsd = MicroUsd(0)
    cache_hit: bool = False
    #: Kind of personal data → how many occurrences were tokenised.
    pii: Mapping[str, int] = field(default_factory=dict)
    injection_score: float | None = None
    #: Why routing chose as it did: candidates, reason.
    decision: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A row of the effect journal."""

    key: StepKey
    kind: str
    state: StepState
    attempt: int
    fence: int
    item_count: int | None
    output: StepOutput | None
    usage: StepUsage
    possible_duplicates: int
    error_code: str | None
    error_message: str | None
    started_at: datetime
    finished_at: datetime | None
    #: None for what is not a tool's.
    effect_class: EffectClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What failed of a node."""

    #: None for a step that is no item of a map.
    item_index: int | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsSummary:
    """What the items of a large map, each a step of its own, come to."""

    node_id: str
    done: int
    failed: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: MicroUsd
    cache_hits: int
    models: tuple[str, ...]
    #: Kind of personal data → how many occurrences were tokenised.
    pii: Mapping[str, int]
    #: Of the first that failed.
    error_code: str | None
    error_message: str | None
    #: Of those that are neither done nor failed.
    in_doubt: int = 0
    first_failed_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """How a batched item of a map ended."""

    item_index: int
    state: StepState
    #: Canonical JSON, or None when the output is a blob, or there is none.
    output: str | None = field(default=None, repr=False)
    output_digest: str | None = None
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapState:
    """How a map of many items stands."""

    map_id: int
    node_id: str
    generation: int
    item_count: int
    #: False when each item is a step of its own, which its steps tell more of.
    is_batched: bool
    succeeded: int
    failed: int
    opened_at: datetime
    closed_at: datetime | None
    #: Of batched items that have failed, the one with the lowest index.
    first_failed: Failure | None = None

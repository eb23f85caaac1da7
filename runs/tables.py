"""Tables of specs, runs and the effect journal."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from agentflow.tables import timestamp_column


class WorkflowSpecRow(SQLModel, table=True):
    """A registered workflow document; never changed."""

    __tablename__ = "workflow_specs"

    org_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    digest: str
    document: str
    created_at: datetime = Field(sa_column=timestamp_column())


class RunRow(SQLModel, table=True):
    """A run: what was asked for, and how it stands."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ux_runs_idempotency_key", "org_id", "idempotency_key", unique=True),
        Index("ix_runs_org_run", "org_id", "run_id"),
        Index(
            "ix_runs_queued", "org_id", "run_id", postgresql_where=text("state = 'submitted' AND admitted_at IS NULL")
        ),
        Index(
            "ix_runs_at_work",
            "org_id",
            postgresql_where=text("state IN ('submitted', 'running') AND admitted_at IS NOT NULL"),
        ),
        Index("ix_runs_turns", "org_id", "admitted_at", postgresql_where=text("admitted_at IS NOT NULL")),
        Index("ix_runs_unstarted", "created_at", postgresql_where=text("state = 'submitted'")),
        Index("ix_runs_running", "run_id", postgresql_where=text("state IN ('submitted', 'running')")),
        Index("ix_runs_rerun_of", "org_id", "rerun_of", postgresql_where=text("rerun_of IS NOT NULL")),
        Index("ix_runs_root", "org_id", "root_run_id", postgresql_where=text("root_run_id IS NOT NULL")),
        Index("ix_runs_plan", "plan_digest"),
        Index("ix_runs_inputs", "inputs_digest"),
        Index("ix_runs_outputs", "outputs_digest", postgresql_where=text("outputs_digest IS NOT NULL")),
        Index("ix_runs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    run_id: str = Field(primary_key=True)
    org_id: str
    workflow_name: str
    workflow_version: int
    spec_digest: str
    plan_digest: str
    inputs_digest: str
    state: str
    idempotency_key: str | None = None
    budget_micro_usd: int | None = Field(default=None, sa_column=Column(BigInteger))
    created_at: datetime = Field(sa_column=timestamp_column())
    started_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    finished_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    cancel_requested_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    outputs_digest: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    failed_node: str | None = None
    node_states: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )
    #: The run that this one repeats, and what it takes over from it.
    rerun_of: str | None = None
    reuse_digest: str | None = None
    #: Of a run below another: that one, its node, and the run at the top.
    parent_run_id: str | None = None
    parent_node_id: str | None = None
    root_run_id: str | None = None
    paused_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    #: When it was let in; null while it waits for its turn.
    admitted_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    priority: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = Field(default=None, sa_column=Column(Double))


class OrganisationLimitsRow(SQLModel, table=True):
    """What an operator allows an organisation; null leaves it to the settings."""

    __tablename__ = "organisation_limits"

    org_id: str = Field(primary_key=True)
    max_running_runs: int | None = None
    max_queued_runs: int | None = None
    fairness_weight: float | None = Field(default=None, sa_column=Column(Double))
    highest_priority: int | None = None


class StepRow(SQLModel, table=True):
    """The effect journal: one row for each step of a logical run, whatever the number of attempts."""

    __tablename__ = "steps"
    __table_args__ = (
        Index("ix_steps_items", "org_id", "run_id", "node_id", "generation", "item_index"),
        Index("ix_steps_output", "output_digest", postgresql_where=text("output_digest IS NOT NULL")),
    )

    effect_key: str = Field(primary_key=True)
    org_id: str
    run_id: str
    node_id: str
    item_index: int | None = None
    item_count: int | None = None
    generation: int
    #: Which of the steps that a node is made of; null for its own step.
    part: str | None = None
    kind: str
    state: str
    #: Temporal's attempt that holds or held the step.
    attempt: int
    #: Grows with each claim; a result is recorded only under the fence that it was claimed with.
    fence: int
    lease_expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    request_digest: str
    output_digest: str | None = None
    output_bytes: int | None = Field(default=None, sa_column=Column(BigInteger))
    facts: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    cost_micro_usd: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    #: Attempts that were replaced while their effect may have happened.
    possible_duplicates: int = 0
    #: What a second call would do; null for what is not a tool's, and that is pure.
    effect_class: str | None = None
    #: True while an earlier attempt may have had its effect, and the tool is still to be asked.
    unsettled: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    error_code: str | None = None
    error_message: str | None = None
    started_at: datetime = Field(sa_column=timestamp_column())
    finished_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class StepExchangeRow(SQLModel, table=True):
    """What an attempt of a step sent out and got back; goes with its run."""

    __tablename__ = "step_exchanges"
    __table_args__ = (
        Index("ix_step_exchanges_step", "effect_key"),
        Index("ix_step_exchanges_run", "org_id", "run_id"),
    )

    org_id: str = Field(primary_key=True)
    exchange_id: str = Field(primary_key=True)
    effect_key: str
    run_id: str
    attempt: int
    status: str
    error_code: str | None = None
    error_message: str | None = None
    #: Compressed JSON.
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    began_at: datetime = Field(sa_column=timestamp_column())
    ended_at: datetime = Field(sa_column=timestamp_column())


class MapRow(SQLModel, table=True):
    """A map of many items: what it goes over, and at its end how many of them succeeded."""

    __tablename__ = "maps"
    __table_args__ = (UniqueConstraint("org_id", "run_id", "node_id", "generation"),)

    map_id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    org_id: str
    run_id: str
    node_id: str
    generation: int
    item_count: int
    #: The paged list of its items.
    pages_digest: str
    #: True when its items stand in `map_items`, False when each is a step of its own.
    is_batched: bool
    opened_at: datetime = Field(sa_column=timestamp_column())
    closed_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    succeeded: int | None = None
    failed: int | None = None


class MapItemRow(SQLModel, table=True):
    """The effect journal of items that are worked on in batches; the first record of an item stays."""

    __tablename__ = "map_items"

    org_id: str
    map_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    item_index: int = Field(primary_key=True)
    state: str
    #: Canonical JSON, when it is small; else it is a blob.
    output: str | None = Field(default=None, sa_column=Column(Text))
    output_digest: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    finished_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class MapOutputRow(SQLModel, table=True):
    """The gathered output of a map; other nodes have theirs in the effect journal."""

    __tablename__ = "map_outputs"

    org_id: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    node_id: str = Field(primary_key=True)
    generation: int = Field(primary_key=True)
    output_digest: str
    output_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))


class CodeResultRow(SQLModel, table=True):
    """What a request of the sandbox gave; code is pure, so the same request gives it again."""

    __tablename__ = "code_results"
    __table_args__ = (Index("ix_code_results_created", "created_at"),)

    org_id: str = Field(primary_key=True)
    request_digest: str = Field(primary_key=True)
    output_digest: str
    created_at: datetime = Field(sa_column=timestamp_column())


class GateRow(SQLModel, table=True):
    """What a run waits for from outside."""

    __tablename__ = "gates"
    __table_args__ = (
        Index("ix_gates_org", "org_id", "gate_id"),
        Index("ix_gates_run", "org_id", "run_id"),
        Index("ix_gates_subject", "subject_digest", postgresql_where=text("subject_digest IS NOT NULL")),
    )

    gate_id: str = Field(primary_key=True)
    org_id: str
    run_id: str
    node_id: str
    generation: int
    #: Of the one step that is in doubt; both null for a gate of the node itself.
    item_index: int | None = None
    part: str | None = None
    #: The workflow that waits, where that is a shard of the run's.
    workflow_id: str | None = None
    kind: str
    state: str
    message: str | None = None
    subject_digest: str | None = None
    event_key: str | None = None
    approvers: list[str] = Field(
        default_factory=list, sa_column=Column(JSONB, nullable=False, server_default=text("'[]'"))
    )
    opened_at: datetime = Field(sa_column=timestamp_column())
    due_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    decided_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    decided_by: str | None = None
    decision_id: str | None = None
    comment: str | None = None


class KeptEventRow(SQLModel, table=True):
    """An event that came before anything waited for it."""

    __tablename__ = "kept_events"
    __table_args__ = (
        Index("ix_kept_events_run", "org_id", "run_id"),
        Index("ix_kept_events_expiry", "expires_at", postgresql_where=text("gate_id IS NULL")),
        Index("ix_kept_events_gate", "org_id", "gate_id", unique=True, postgresql_where=text("gate_id IS NOT NULL")),
    )

    #: In the order in which they came.
    event_number: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    org_id: str
    run_id: str
    event_key: str
    payload_digest: str
    size_bytes: int
    delivered_by: str
    arrived_at: datetime = Field(sa_column=timestamp_column())
    expires_at: datetime = Field(sa_column=timestamp_column())
    #: The one that has taken it.
    gate_id: str | None = None


class RecordRow(SQLModel, table=True):
    """A small JSON value that workflows of an organisation keep; it belongs to no run."""

    __tablename__ = "records"

    org_id: str = Field(primary_key=True)
    collection: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    #: JSON with everything beyond ASCII escaped.
    value: str = Field(sa_column=Column(Text, nullable=False))
    #: Grows with each write.
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_at: datetime = Field(sa_column=timestamp_column())

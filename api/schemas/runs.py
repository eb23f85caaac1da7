"""Runs as JSON."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agentflow.ids import trace_id_of
from agentflow.money import from_cents, spend_to_cents
from agentflow.settings import Settings
from api.schemas.json_object import JsonObject
from runs.models import Run, RunState
from runs.plan import NodeState
from runs.run_view import CompensationState, NodeView, RunView
from workflows.service import RunRequest
from workflows.temporal_connection import run_url

WorkflowName = Annotated[str, Field(min_length=1, max_length=127)]
Cents = Annotated[int, Field(ge=0, le=10**12, strict=True)]


class RunSubmission(BaseModel):
    """A wish to run a workflow."""

    model_config = ConfigDict(extra="forbid")

    workflow_name: WorkflowName
    workflow_version: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)] | None = Field(
        default=None, description="The latest when it is left out."
    )
    inputs: JsonObject = Field(default_factory=dict)
    budget_cents: Cents | None = Field(default=None, description="What the run may spend at most, in US cents.")

    def to_request(self, idempotency_key: str | None) -> RunRequest:
        """The service's form."""
        return RunRequest(
            workflow_name=self.workflow_name,
            workflow_version=self.workflow_version,
            inputs=self.inputs,
            budget_micro_usd=from_cents(self.budget_cents) if self.budget_cents is not None else None,
            idempotency_key=idempotency_key,
        )


class RunError(BaseModel):
    """Why a run or a node failed."""

    code: str
    message: str
    node_id: str | None = None
    item_index: int | None = Field(default=None, description="Of a map: the first item that failed.")


class RunSummary(BaseModel):
    """A run in a list."""

    run_id: str
    workflow_name: str
    workflow_version: int
    state: RunState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    budget_cents: int | None
    cost_cents: int = Field(description="What was spent, in US cents, rounded up.")
    cost_micro_usd: int = Field(description="The same in millionths of a US dollar, exact.")
    trace_id: str
    temporal_ui_url: str | None = Field(description="The run in Temporal's Web UI, where that is configured.")
    rerun_of: str | None = Field(description="The run that this one repeats.")
    parent_run_id: str | None = Field(description="The run that this one is below.")
    parent_node_id: str | None = Field(description="The node of that run which it is part of.")
    paused_at: datetime | None = Field(description="Since when nothing more begins.")
    error: RunError | None


class RunNode(BaseModel):
    """How a node of a run stands."""

    id: str
    type: str
    kind: str
    depends: list[str]
    state: NodeState
    items_total: int | None = Field(description="Of a map that has begun.")
    items_done: int | None
    items_failed: int | None = Field(description="Of those that are done; more than the map tolerates end it.")
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    models: list[str]
    cache_hits: int
    pii: dict[str, int] = Field(description="Kind of personal data → occurrences that were tokenised.")
    reused: bool = Field(description="Its output is an earlier run's.")
    runs_below: int = Field(description="How many runs there are below it; list them with `parent`.")
    turns: int | None = Field(description="Of an agent that has begun: turns of its model.")
    tool_calls: int | None = Field(description="And calls of its tools.")
    in_doubt: int = Field(description="Steps of it whose effect may have happened or not; a person is to say which.")
    compensation: CompensationState | None = Field(
        description="How taking it back stands; null when nothing is taken back."
    )
    error: RunError | None


class RunDetail(RunSummary):
    """A run with its nodes in document order."""

    inputs: dict[str, Any]
    outputs: dict[str, Any] | None = Field(description="null until the run has succeeded.")
    nodes: list[RunNode]
    pii: dict[str, int]
    input_tokens: int
    output_tokens: int
    in_doubt: int = Field(description="Steps whose effect may have happened or not.")
    queue_place: int | None = Field(
        description="Where it waits for its turn among the organisation's runs, from 1; null once it was let in."
    )
    waiting: list[str] = Field(
        description="Ids of what waits for a person, in the run and in those below it; `/approvals` has more."
    )
    held_micro_usd: int = Field(description="Set aside for calls under way, of runs below too; no part of the cost.")
    uncertain_micro_usd: int = Field(
        description="What may also be billed, for calls whose end nobody knows; no part of the cost."
    )


class NodeOutputDetail(BaseModel):
    """What a node has given."""

    run_id: str
    node_id: str
    digest: str = Field(description="SHA-256 of the output as it is stored.")
    output: Any
    item_count: int | None = Field(description="Of a list that is shown in parts: how many items it has.")
    first: int = Field(description="Which of them is the first in `output`, from 0.")


def run_summary_of(run: Run, settings: Settings) -> RunSummary:
    """A run in a list."""
    return RunSummary(**_summary(run, settings))


def run_detail_of(view: RunView, settings: Settings) -> RunDetail:
    """A run with everything."""
    summary = _summary(view.run, settings)
    if summary["error"] is not None:
        item = next((node.error_item for node in view.nodes if node.node_id == view.run.failed_node), None)
        summary["error"] = summary["error"].model_copy(update={"item_index": item})
    return RunDetail(
        **summary,
        inputs=dict(view.inputs),
        outputs=dict(view.outputs) if view.outputs is not None else None,
        nodes=[_run_node(node) for node in view.nodes],
        pii=dict(view.pii),
        input_tokens=view.input_tokens,
        output_tokens=view.output_tokens,
        in_doubt=view.in_doubt,
        queue_place=view.queue_place,
        waiting=list(view.waiting),
        held_micro_usd=view.held_micro_usd,
        uncertain_micro_usd=view.uncertain_micro_usd,
    )


def _summary(run: Run, settings: Settings) -> dict[str, Any]:
    error = None
    if run.error_code is not None:
        error = RunError(code=run.error_code, message=run.error_message or "", node_id=run.failed_node)
    return {
        "run_id": run.run_id,
        "workflow_name": run.workflow_name,
        "workflow_version": run.workflow_version,
        "state": run.state,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "cancel_requested_at": run.cancel_requested_at,
        "budget_cents": spend_to_cents(run.budget_micro_usd) if run.budget_micro_usd is not None else None,
        "cost_cents": spend_to_cents(run.cost_micro_usd),
        "cost_micro_usd": run.cost_micro_usd,
        "trace_id": trace_id_of(run.run_id),
        "temporal_ui_url": run_url(settings, run.run_id),
        "rerun_of": run.rerun_of,
        "parent_run_id": run.parent_run_id,
        "parent_node_id": run.parent_node_id,
        "paused_at": run.paused_at,
        "error": error,
    }


def _node_error(node: NodeView) -> RunError | None:
    if node.error_code is None:
        return None
    return RunError(code=node.error_code, message=node.error_message or "", item_index=node.error_item)


def _run_node(node: NodeView) -> RunNode:
    return RunNode(
        id=node.node_id,
        type=node.type,
        kind=node.kind,
        depends=list(node.depends),
        state=node.state,
        items_total=node.items_total,
        items_done=node.items_done,
        items_failed=node.items_failed,
        started_at=node.started_at,
        finished_at=node.finished_at,
        duration_seconds=node.duration_seconds,
        attempts=node.attempts,
        input_tokens=node.input_tokens,
        output_tokens=node.output_tokens,
        cost_micro_usd=node.cost_micro_usd,
        models=list(node.models),
        cache_hits=node.cache_hits,
        pii=dict(node.pii),
        reused=node.reused,
        runs_below=node.runs_below,
        turns=node.turns,
        tool_calls=node.tool_calls,
        in_doubt=node.in_doubt,
        compensation=node.compensation,
        error=_node_error(node),
    )

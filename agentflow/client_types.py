"""What the API answers, as types for `agentflow.client`; plain dictionaries at run time."""

from typing import Any, Generic, NotRequired, TypedDict, TypeVar

_Item = TypeVar("_Item")


class ApiProblemDetail(TypedDict):
    """One of several things that are wrong with a request."""

    code: str
    message: str
    path: str
    line: NotRequired[int | None]
    column: NotRequired[int | None]


class PageDocument(TypedDict, Generic[_Item]):
    """A page of a list."""

    items: list[_Item]
    next_cursor: str | None


class WorkflowNodeDocument(TypedDict):
    """A node of a compiled workflow."""

    id: str
    type: str
    depends: list[str]
    target: str
    #: What its steps do; of a map or a reduce, what its body is.
    kind: NotRequired[str]
    when: NotRequired[str | None]
    on_error: NotRequired[str]
    over: NotRequired[str | None]
    window: NotRequired[int | None]
    batch: NotRequired[int | None]
    more: NotRequired[list[str]]


class WorkflowDocument(TypedDict):
    """A registered version of a workflow."""

    name: str
    version: int
    digest: str
    created_at: str


class WorkflowDetailDocument(WorkflowDocument):
    """The same with what it compiles to."""

    document: str
    nodes: list[WorkflowNodeDocument]
    inputs_schema: dict[str, Any] | None


class NodeBoundsDocument(TypedDict):
    """The worst case of one node."""

    id: str
    steps: int
    workflows: int
    strategy: str | None


class WorkflowBoundsDocument(TypedDict):
    """How large a run can become."""

    steps: int
    workflows: int
    events: int
    history_bytes: int
    pending: int
    model_calls: int
    #: None where a model's price or context is not known.
    cost_micro_usd: int | None
    nodes: list[NodeBoundsDocument]


class WorkflowCheckDocument(TypedDict):
    """What a document compiles to."""

    name: str
    version: int
    nodes: list[WorkflowNodeDocument]
    inputs_schema: dict[str, Any] | None
    bounds: WorkflowBoundsDocument


class RunErrorDocument(TypedDict):
    """Why a run or a node failed."""

    code: str
    message: str
    node_id: str | None
    #: Of a map: the first item that failed.
    item_index: NotRequired[int | None]


class RunSummaryDocument(TypedDict):
    """A run in a list; instants are ISO 8601."""

    run_id: str
    workflow_name: str
    workflow_version: int
    #: submitted, running, succeeded, failed or cancelled.
    state: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    cancel_requested_at: str | None
    budget_cents: int | None
    cost_cents: int
    cost_micro_usd: int
    trace_id: str
    temporal_ui_url: str | None
    rerun_of: str | None
    #: Of a run below another: that one, and its node.
    parent_run_id: str | None
    parent_node_id: str | None
    paused_at: str | None
    error: RunErrorDocument | None


class RunNodeDocument(TypedDict):
    """How a node of a run stands."""

    id: str
    type: str
    kind: str
    depends: list[str]
    #: pending, running, succeeded, failed, skipped or cancelled.
    state: str
    items_total: int | None
    items_done: int | None
    items_failed: int | None
    started_at: str | None
    finished_at: str | None
    duration_seconds: float | None
    attempts: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    models: list[str]
    cache_hits: int
    pii: dict[str, int]
    #: True when its output is an earlier run's.
    reused: bool
    runs_below: int
    #: Of an agent that has begun.
    turns: int | None
    tool_calls: int | None
    #: Steps whose effect may have happened or not.
    in_doubt: int
    #: How taking it back stands: running, succeeded, failed, cancelled or in_doubt.
    compensation: str | None
    error: RunErrorDocument | None


class NodeOutputDocument(TypedDict):
    """What a node has given."""

    run_id: str
    node_id: str
    digest: str
    output: Any
    #: Of a list that is shown in parts: how many items it has, and which is the first that is shown.
    item_count: int | None
    first: int


class StepSummaryDocument(TypedDict):
    """A step in a list."""

    item_index: int | None
    #: Which of the steps that a node is made of: `iteration:2`, `turn:0`; None for its own.
    part: str | None
    kind: str
    #: claimed, committed, failed, cancelled or in_doubt.
    state: str
    attempt: int
    started_at: str | None
    finished_at: str | None
    model: str | None
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    error: RunErrorDocument | None


class StepFactsDocument(StepSummaryDocument):
    """A step with all that the journal holds of it."""

    provider: str | None
    cache_hit: bool
    pii: dict[str, int]
    injection_score: float | None
    possible_duplicates: int
    effect_class: str | None
    #: Of a model's call: candidates, which was chosen, which were excluded, and why.
    decision: dict[str, Any]
    output_digest: str | None
    #: Of a step that is a run.
    run_below: str | None


class StepAttemptDocument(TypedDict):
    """An attempt of a step; what it did not have is left out."""

    attempt: int
    #: ok, error or cancelled.
    status: str
    began_at: str
    ended_at: str
    error: RunErrorDocument | None
    messages: NotRequired[list[dict[str, Any]]]
    answers: NotRequired[list[dict[str, Any]]]
    #: What had arrived of each answer that was broken off.
    partial_answers: NotRequired[list[str]]
    arguments: NotRequired[dict[str, Any]]
    #: What came back and was refused.
    output: NotRequired[Any]


class StepDocument(TypedDict):
    """What happened at a step."""

    run_id: str
    node_id: str
    item_index: int | None
    part: str | None
    step: StepFactsDocument | None
    #: The latest first.
    attempts: list[StepAttemptDocument]
    output: Any
    parts: list[StepSummaryDocument]
    next_cursor: str | None


class RunDocument(RunSummaryDocument):
    """A run with its nodes in document order."""

    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    nodes: list[RunNodeDocument]
    pii: dict[str, int]
    input_tokens: int
    output_tokens: int
    in_doubt: int
    #: Where it waits for its turn, from 1; None once it was let in.
    queue_place: int | None
    #: Ids of what waits for a person, in the run and in those below it.
    waiting: list[str]
    #: Set aside for calls under way, and what may also be billed; neither is part of the cost.
    held_micro_usd: int
    uncertain_micro_usd: int


class EventDocument(TypedDict):
    """What became of an event."""

    run_id: str
    event_key: str
    #: delivered, or kept until something waits for it.
    became: str
    kept_until: str | None


class ApprovalDocument(TypedDict):
    """A decision that a run waits for, or waited for."""

    approval_id: str
    run_id: str
    node_id: str
    #: The one item of a map that it is about.
    item_index: int | None
    #: approval or in_doubt.
    kind: str
    #: open, approved, rejected, expired or cancelled.
    state: str
    message: str
    subject_digest: str
    approvers: list[str]
    opened_at: str
    due_at: str | None
    decided_at: str | None
    decided_by: str | None
    comment: str | None


class ApprovalDetailDocument(ApprovalDocument):
    """An approval with what is to be approved."""

    show: Any


class RerunNodeDocument(TypedDict):
    """What a re-run does about a node."""

    id: str
    reused: bool
    reason: str
    takes_over_items: bool
    earlier_cost_micro_usd: int | None


class RerunPreviewDocument(TypedDict):
    """What a re-run would take over, do, and cost."""

    rerun_of: str
    nodes: list[RerunNodeDocument]
    estimated_cost_micro_usd: int
    estimated_cost_cents: int
    unknown_cost_nodes: list[str]


#: `schema` is what the API calls it; TypedDict's functional form takes any key.
class PromptDocument(TypedDict):
    name: str
    version: int
    digest: str
    template: str
    schema: dict[str, Any] | None
    created_at: str


class PromptListDocument(TypedDict):
    """A prompt in a list."""

    name: str
    latest_version: int
    updated_at: str


class DeploymentDocument(TypedDict):
    """What is served under a prompt's name."""

    prompt_name: str
    stable_version: int
    canary_version: int | None
    canary_ratio: float
    revision: int
    updated_at: str


class BudgetDocument(TypedDict):
    """A budget."""

    budget_id: str
    period_type: str
    limit_cents: int
    created_at: str


class BudgetStateDocument(BudgetDocument):
    """A budget with its present window."""

    window_start: str
    spent_cents: int
    held_cents: int
    remaining_cents: int

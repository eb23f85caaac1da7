"""What travels through workflow history: references and facts, never documents.

Each activity takes one value and gives one value; all can grow by optional fields. The names of
activities and task queues below are a contract with every history ever written.
"""

from dataclasses import dataclass, field
from typing import Any

RUNS_QUEUE = "agentflow-runs"
LLM_QUEUE = "agentflow-llm"
TOOLS_QUEUE = "agentflow-tools"
CODE_QUEUE = "agentflow-code"

OPEN_RUN = "open_run"
CLOSE_RUN = "close_run"
OPEN_CHILD = "open_child"
SETTLE_NODE = "settle_node"
FAIL_CHILD = "fail_child"
SETTLE_AGENT = "settle_agent"
EVALUATE_CONDITION = "evaluate_condition"
#: Temporal signals of a run, which it passes on to the workflows below it.
PAUSE = "pause"
RESUME = "resume"
CALL_LLM = "call_llm"
CALL_TOOL = "call_tool"
RUN_FUNCTION = "run_function"
RUN_CODE = "run_code"

#: Attempts that the platform has ended: the worker died, the database was away, a rate limit gave a later turn.
MAX_EXCUSED_ATTEMPTS = 250
#: Stands before the state of a node that has ended without an output, where else its digest would be.
STATE_PREFIX = "state:"
#: Stands among the nodes' digests where there is more to tell of them: JSON, node id → `finish_reason`, `error`.
TOLD = "#told"

STEP_ACTIVITIES = {"llm": CALL_LLM, "tool": CALL_TOOL, "function": RUN_FUNCTION, "code": RUN_CODE}
STEP_QUEUES = {"llm": LLM_QUEUE, "tool": TOOLS_QUEUE, "function": RUNS_QUEUE, "code": CODE_QUEUE}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRef:
    """Which run, and what it runs."""

    org_id: str
    run_id: str
    plan_digest: str
    inputs_digest: str
    #: Of a run below another: the one at the top, whose budget is everyone's; None at the top itself.
    root_run_id: str | None = None
    #: Of a run that repeats another: what it runs it asks again, and takes nothing from the cache.
    asks_anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonNode:
    """What the interpreter knows of a node; times in seconds."""

    node_id: str
    type: str
    #: `llm`, `tool`, `function` or `code`: which activity does the work.
    kind: str
    upstream: list[str]
    reads: list[str]
    attempts: int
    initial_seconds: float
    factor: float
    max_seconds: float
    run_seconds: float
    idle_seconds: float
    queue_seconds: float | None = None
    total_seconds: float | None = None
    when: str | None = None
    over_root: str | None = None
    over_path: list[str] = field(default_factory=list)
    window: int = 1
    #: map: items of one activity, the longest list, and how many items may fail.
    batch: int = 1
    max_items: int = 100_000
    tolerated_failures: int = 0
    tolerated_percent: float = 0.0
    #: `fail` or `continue`.
    on_error: str = "fail"
    #: approval, wait: seconds after which others may decide, in order.
    escalate_after: list[float] = field(default_factory=list)
    #: The prompt version that this run uses, resolved once: `name@version`.
    prompt: str | None = None
    #: CEL over the outcomes of `upstream`; None where all of them must have ended well.
    depends: str | None = None
    #: Runs once everything else has ended.
    is_final: bool = False
    #: loop.
    max_iterations: int = 1
    until: str | None = None
    #: `continue` or `fail`.
    on_exhausted: str = "continue"
    delay_seconds: float = 0.0
    #: race: its branches, whose ids are their names, and when each sets out.
    branches: "list[SkeletonNode]" = field(default_factory=list)
    after_seconds: float = 0.0
    #: reduce: lists longer than this are reduced part by part; 0 for a reduce in one step.
    fan_in: int = 0
    #: What takes the node back.
    compensate: "SkeletonNode | None" = None
    agent: "SkeletonAgent | None" = None
    #: Where its model calls wait; None is the queue that all providers share.
    llm_queue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkeletonAgent:
    """Where an agent's loop ends, besides its turns; None is no limit."""

    max_tool_calls: int
    token_budget: int | None = None
    budget_micro_usd: int | None = None
    parallel_tools: bool = True
    #: `tell` or `fail`.
    on_tool_error: str = "tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome:
    """How a node of a run ended."""

    state: str
    digest: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    #: True when it is an earlier run's, which alone may take it back.
    is_reused: bool = False
    #: Of one that failed and is tolerated.
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRun:
    """What a run needs to be scheduled; it travels packed."""

    nodes: list[SkeletonNode] = field(default_factory=list)
    input_facts: dict[str, Any] = field(default_factory=dict)
    output_reads: list[str] = field(default_factory=list)
    #: What is taken over from an earlier run: nodes that have ended, and the run whose items a map takes over.
    reused: dict[str, NodeOutcome] = field(default_factory=dict)
    redrive: dict[str, str] = field(default_factory=dict)
    #: Steps that may be under way at once; 0 is no limit.
    concurrency: int = 0
    #: Whether somebody has paused the run before it began.
    is_paused: bool = False
    #: How the plan's conditions are to be taken.
    dialect: int = 1
    #: All of the above in little room, instead of it; see `activities.packing`.
    packed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStep:
    """Where a step of an agent stands in its conversation."""

    #: Of a turn, what the turn before gave; of a call, what the turn gave that asks for it.
    conversation: str | None = None
    #: Turn: what the calls of the turn before came to, in order: a digest, or `error:` and a code.
    results: list[str] = field(default_factory=list)
    #: Turn: no tool is called any more, whatever the model says.
    is_last: bool = False
    #: Call: which tool, and which of the turn's calls.
    tool: str | None = None
    call_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall:
    """One step of a run to perform."""

    run: RunRef
    node_id: str
    #: Node id → digest of its output; None for one that was skipped.
    outputs: dict[str, str | None]
    item_index: int | None = None
    item_count: int | None = None
    generation: int = 0
    prompt: str | None = None
    #: An item of a large map: the paged list that it is of.
    pages: str | None = None
    #: Which of the steps that the node is made of; None for its own step.
    part: str | None = None
    #: Further names that expressions see: small values, and outputs by their digests.
    local: dict[str, Any] = field(default_factory=dict)
    local_refs: dict[str, str | None] = field(default_factory=dict)
    #: A part of a reduce: the range of its list, or the results that it reduces again.
    items_from: int | None = None
    items_to: int | None = None
    item_refs: list[str] = field(default_factory=list)
    agent: AgentStep | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """The result of a step: where its output is, and what scheduling needs of it."""

    digest: str
    size_bytes: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionCall:
    """A condition on content that is too large for history, to be asked where the content is."""

    run: RunRef
    node_id: str
    condition: str
    outputs: dict[str, str | None]
    local: dict[str, Any] = field(default_factory=dict)
    local_refs: dict[str, str | None] = field(default_factory=dict)
    dialect: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a condition holds."""

    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseCall:
    """How a run ended."""

    run: RunRef
    state: str
    node_states: dict[str, str]
    #: Node id → digest of its output, for the nodes that the run's outputs read.
    outputs: dict[str, str | None]
    error_code: str | None = None
    error_message: str | None = None
    failed_node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopProgress:
    """Where a loop, or an agent, goes on."""

    iteration: int
    #: What the body, or the turn, gave the last time.
    last: StepDone
    #: agent: what the calls of that turn came to, and how many calls there have been.
    results: list[str] = field(default_factory=list)
    calls: int = 0
    #: loop: when its next iteration is due, in seconds since 1970; None is at once.
    due: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """What a run carries over when it continues as new; it travels packed."""

    opened: OpenedRun = field(default_factory=OpenedRun)
    outcomes: dict[str, NodeOutcome] = field(default_factory=dict)
    #: How far loops have come that go on in the next history.
    loops: dict[str, LoopProgress] = field(default_factory=dict)
    packed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """The argument of the `AgentDag` workflow."""

    run: RunRef
    progress: RunProgress | None = None
    #: Continue as new from this many history events; the server's own suggestion counts as well.
    history_limit_events: int = 4_000
    #: Whether the run is paused, when it continues as new.
    is_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCall:
    """A run below this one to record: what it is called with is that of the step."""

    step: StepCall


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedChild:
    """A run below another, ready to start."""

    run: RunRef
    name: str
    #: Of one that has ended well already, in an earlier try at the same step.
    outputs_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleCall:
    """The result of a node that is made of several steps, or of a run below this one, to record as the node's own."""

    step: StepCall
    #: `loop`, `race`, `reduce`, `workflow` or `agent`.
    kind: str
    digest: str
    child_run_id: str | None = None
    #: What is known of the result besides its content.
    facts: dict[str, Any] = field(default_factory=dict)
    #: How long the run below took.
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFailure:
    """A run below a step that did not end well, or did not begin."""

    step: StepCall
    error_code: str
    error_message: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of the `AgentDag` workflow."""

    state: str
    outputs_digest: str | None = None

"""The compiled form of a DAG: everything that a run needs to know, frozen, addressed by its digest.

The compiler (`workflows.dag_compiler`) writes plans; activities read them. The interpreter never sees a
plan, only its `Skeleton`: the few facts that scheduling needs, because what a workflow holds is history.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from agentflow.digest import canonical_json, sha256_hex
from agentflow.errors import BlobCorrupt
from runs.agent_plan import AgentPlan
from runs.errors import PlanIncompatible
from runs.tool_contract import ToolContract

PLAN_FORMAT = 1
#: Of plans with bodies that are nodes: code that does not know `Leaf.result` is not to read them.
BODIES_FORMAT = 2

NodeType = Literal[
    "llm", "tool", "function", "code", "approval", "wait", "map", "reduce", "workflow", "loop", "race", "agent"
]
LeafKind = Literal["llm", "tool", "function", "code", "approval", "wait", "workflow", "race", "agent"]
#: What asks a model with a prompt.
PROMPTED_KINDS = frozenset({"llm", "agent"})
#: What expressions can ask of a node: how its answer ended (`stop`, `length`, …) and, of a failure, code and message.
NODE_FIELDS = frozenset({"output", "status", "finish_reason", "error"})
#: Opens the part of a node that takes back what the node has done.
COMPENSATION = "compensation"


class NodeState(StrEnum):
    """Where a node of a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One argument of a step: a CEL expression, a text with `{{ }}`, a literal, or what was given to the step's run.

    What was not given is left out: an input that the run has not, or what a node that did not end well has not.
    """

    kind: Literal["expression", "template", "literal", "given"]
    #: The expression, the template, or `inputs.NAME` or `NODE.FIELD`; None for a literal.
    source: str | None = None
    #: The literal; for a mapping or list with expressions inside, see `members`.
    value: Any = None
    #: Named parts (`mapping`) or numbered parts (`list`) when the argument nests further bindings.
    shape: Literal["mapping", "list"] | None = None
    members: dict[str, "Binding"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPolicy:
    """What a step may cost, how good it must be, and what may leave it."""

    quality: Literal["Gold", "Silver", "Bronze"] = "Silver"
    sla_ms: int | None = None
    pii: Literal["redact", "allow", "block"] = "redact"
    injection: Literal["block", "flag", "off"] = "flag"
    injection_threshold: float = 0.8
    restore: bool = False
    #: Whether the vault's tokens may leave in a tool's arguments; plans of an earlier compiler let them.
    tokens: Literal["refuse", "allow"] = "allow"
    #: None caches what does not sample (temperature 0); True is what plans of an earlier compiler have.
    cache: bool | None = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParameters:
    """How a model is asked."""

    max_output_tokens: int = 512
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    #: `provider/model`, when routing must not choose.
    model: str | None = None
    #: What of an answer that is not whole is taken for one; plans of an earlier compiler take all.
    accept: tuple[str, ...] = ("cut", "refused", "empty")
    #: Whether `max_output_tokens` is nobody's wish, so that a model which has less room may have less.
    may_shorten: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeParameters:
    """Code for the sandbox, and what it can learn of the world."""

    language: Literal["python", "javascript", "wasm"]
    #: Of Python and JavaScript.
    source: str | None = None
    #: A WebAssembly module in base64.
    module: str | None = None
    seed: int = 0
    #: What the guest's clock shows, ISO 8601 with its offset.
    clock: str = "2000-01-01T00:00:00+00:00"
    fuel: int | None = None
    memory_bytes: int | None = None
    wall_seconds: float | None = None
    output_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What one activity does: call a model, a tool or a function, or run code."""

    kind: LeafKind
    #: The prompt reference, the tool's or the function's name, the language of the code.
    target: str
    arguments: dict[str, Binding]
    policy: StepPolicy
    #: Ids of the nodes whose outputs the arguments read.
    reads: tuple[str, ...] = ()
    parameters: ModelParameters | None = None
    #: code: what runs.
    program: CodeParameters | None = None
    #: JSON Schema of the output, when the document gives one.
    output_schema: dict[str, Any] | None = None
    #: tool: what was known of a tool that is not part of the platform.
    contract: ToolContract | None = None
    #: workflow: what the run below this one runs.
    plan: "Plan | None" = None
    #: workflow: which of the outputs of the run below is what the step gives; None gives all of them.
    result: str | None = None

    @property
    def shown(self) -> tuple[str, str]:
        """Kind and target as people see them: of a body that is a node, those of the node."""
        if self.result is None or self.plan is None:
            return self.kind, self.target
        [node] = self.plan.nodes
        kind, target = node.leaf.shown
        return node.type if node.type == kind else f"{node.type} of {kind}", target


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """How often and how patiently a step is repeated; times in seconds."""

    attempts: int = 4
    initial_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 60.0
    #: A pause is shortened by up to this share of it, at random.
    jitter: float = 0.0
    #: Which errors are worth another attempt: CEL over `error` and `attempt`; None leaves it to the error's kind.
    when: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutPlan:
    """How long a step may take, in seconds; None is no limit but the run's own."""

    run_seconds: float
    idle_seconds: float
    queue_seconds: float | None = None
    total_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Who else may decide, once nobody has for some time."""

    after_seconds: float
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """What a node waits for from outside, and what becomes of it when that does not come; times in seconds."""

    #: approval: names of API keys; empty lets every key of the organisation decide.
    approvers: tuple[str, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    on_reject: Literal["fail", "continue"] = "fail"
    #: wait: for so long.
    wait_seconds: float | None = None
    timeout_seconds: float | None = None
    on_timeout: Literal["fail", "approve", "reject", "continue"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlan:
    """How a map works through its items."""

    #: Items that one activity works on; 1 where each item is a step of its own.
    batch: int = 1
    #: A longer list is refused.
    max_items: int = 100_000
    #: This many items may fail, or this share of them, whichever is more.
    tolerated_failures: int = 0
    tolerated_percent: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPlan:
    """How often a loop goes round."""

    max_iterations: int
    #: CEL over `last` and `iteration`: True ends the loop.
    until: str | None = None
    on_exhausted: Literal["continue", "fail"] = "continue"
    #: Between the end of one iteration and the beginning of the next.
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchPlan:
    """One of the ways to a race's result, or what takes a node back."""

    leaf: Leaf
    retry: RetryPlan
    timeout: TimeoutPlan
    #: How long after the race has begun it sets out, unless another has won by then.
    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A small part of an output that scheduling needs: its value, or the number of its items."""

    #: Keys on the way into the output; a list is one fact, because a path ends at it.
    path: tuple[str, ...]
    kind: Literal["value", "size"]

    @property
    def key(self) -> str:
        """The name under which the fact stands in a step's result."""
        return f"{self.kind}:{'.'.join(self.path)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """A node, its place in the graph, and what it does."""

    node_id: str
    type: NodeType
    leaf: Leaf
    upstream: tuple[str, ...]
    retry: RetryPlan
    timeout: TimeoutPlan
    when: str | None = None
    #: map, reduce: the root (`inputs` or a node) and path of the list.
    over_root: str | None = None
    over_path: tuple[str, ...] = ()
    window: int = 1
    #: map: None in plans of an earlier form.
    map: MapPlan | None = None
    #: approval, wait.
    gate: GatePlan | None = None
    loop: LoopPlan | None = None
    agent: AgentPlan | None = None
    #: race: name → branch, in document order.
    branches: dict[str, BranchPlan] = field(default_factory=dict)
    #: reduce: lists longer than this are reduced part by part, and the results of the parts again.
    fan_in: int | None = None
    #: What takes the node back when the run does not end well.
    compensate: BranchPlan | None = None
    #: CEL over the outcomes of the nodes before it; None where all of them must have ended well.
    depends: str | None = None
    #: Runs once everything else has ended, however it ended.
    is_final: bool = False
    #: Whether a failure of it fails the run, or is one more outcome that others can look at.
    on_error: Literal["fail", "continue"] = "fail"
    #: What other nodes' conditions and maps need to know of this node's output.
    facts: tuple[Fact, ...] = ()

    def leaf_of(self, part: str | None) -> Leaf:
        """What a part of the node does."""
        return self.branch_of(part).leaf

    def branch_of(self, part: str | None) -> BranchPlan:
        """What a part of the node does, and how patiently; most parts do what the node does."""
        own = BranchPlan(leaf=self.leaf, retry=self.retry, timeout=self.timeout)
        if part == COMPENSATION:
            return self.compensate or own
        return self.branches.get((part or "").removeprefix("branch:"), own)

    def all_leaves(self) -> tuple[Leaf, ...]:
        """Everything that the node may do: what it is for, its branches, and what takes it back."""
        taking_back = () if self.compensate is None else (self.compensate.leaf,)
        return (self.leaf, *(branch.leaf for branch in self.branches.values()), *taking_back)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A compiled DAG."""

    format: int
    name: str
    version: int
    nodes: tuple[PlanNode, ...]
    inputs_schema: dict[str, Any] | None = None
    #: Facts of the run's inputs.
    input_facts: tuple[Fact, ...] = ()
    #: Name → binding of the run's outputs.
    outputs: dict[str, Binding] = field(default_factory=dict)
    output_reads: tuple[str, ...] = ()
    #: True when outputs may show restored personal data.
    restore_outputs: bool = False
    #: How many steps may be under way at once; None is no limit of its own.
    concurrency: int | None = None
    #: 1 is served first, 5 last; None is the middle.
    priority: int | None = None
    #: What the run's share of a busy queue goes by, below its organisation.
    fairness_key: str | None = None
    #: How its conditions are to be taken (`runs.expressions.DIALECT`); 1 in plans of an earlier compiler.
    dialect: int = 1

    def node(self, node_id: str) -> PlanNode:
        """The node of that id; raises KeyError."""
        for node in self.nodes:
            if node.node_id == node_id:
                return node
        raise KeyError(node_id)


_PLAN = TypeAdapter(Plan)


class EncodedPlan(NamedTuple):
    """A plan as it is stored: what it says can be megabytes, and takes its time to write and to read."""

    digest: str
    content: bytes


def encode_plan(plan: Plan) -> EncodedPlan:
    """The plan's digest and its canonical bytes."""
    content = canonical_json(_PLAN.dump_python(plan, mode="json"))
    return EncodedPlan(sha256_hex(content), content)


def decode_plan(digest: str, content: bytes) -> Plan:
    """The plan that `encode_plan` wrote.

    Raises BlobCorrupt when the bytes are others, PlanIncompatible when they are of another format.
    """
    if sha256_hex(content) != digest:
        raise BlobCorrupt(digest=digest)
    try:
        plan = _PLAN.validate_json(content)
    except ValidationError as error:
        raise PlanIncompatible(digest=digest, reason=f"{error.error_count()} fields do not fit") from error
    if not PLAN_FORMAT <= plan.format <= BODIES_FORMAT:
        raise PlanIncompatible(digest=digest, reason=f"its format is {plan.format}, this code reads {BODIES_FORMAT}")
    return plan

"""What the interceptors of one step share while it runs: each adds what it learns, none knows the others."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NoReturn, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from activities.agent_steps import leaf_of_step
from activities.payloads import StepCall
from activities.step_identity import step_key, step_request
from agentflow.money import MicroUsd
from agentflow.statements import Rows, Statement
from cas.models import Route
from cas.provider_models import ChatMessage, ModelRequest, ModelResponse, ToolChoice, ToolSpec
from observability.telemetry.span_ids import StepAttempt
from observability.telemetry.span_record import SpanRecord
from runs.effects import EffectClass
from runs.journal_repository import StepRequest, effect_key
from runs.models import StepKey, StepUsage
from runs.plan import Leaf, PlanNode, RetryPlan, TimeoutPlan
from scl.models import ProtectedValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt of a step ended."""

    status: Literal["ok", "error", "cancelled"]
    error_code: str | None = None
    #: For people with the rights to the run's outputs: it may say what a stranger's server said.
    message: str | None = None


#: Stands where nothing has come back.
NOTHING: Any = object()
#: What the transaction that ends an attempt is to do besides recording it, whether it ended well or not.
ClosingAction = Callable[[Ending], Sequence[Statement]]


class Claiming(Protocol):
    """The journal's claim of a step, for the one whose transaction it is part of."""

    def statement(self) -> Statement:
        """Claims."""
        ...

    def take(self, rows: Rows) -> bool:
        """Whether the statement's rows say that the step is ours to perform."""
        ...

    async def refused(self, session: AsyncSession) -> NoReturn:
        """Raises what ends the step here, when it is not."""
        ...

    async def claim(self) -> None:
        """Claims in a transaction of its own; raises what ends the step here."""
        ...


@dataclass(slots=True, kw_only=True)
class StepContext:
    """One attempt of one step."""

    call: StepCall
    node: PlanNode
    attempt: int
    started_at: datetime
    #: What the step was given, after policy.
    arguments: dict[str, Any] = field(default_factory=dict)
    #: Before policy, where the node's own arguments are not what is meant.
    given_arguments: dict[str, Any] | None = None
    #: llm: the rendered prompt, and which version it is.
    messages: tuple[ChatMessage, ...] = ()
    prompt: str | None = None
    #: llm, of an agent: what has been said before, after policy, what the model may ask for, and how.
    conversation: tuple[ChatMessage, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    #: What scheduling is told of the output, where that is not what the node's plan asks for.
    own_facts: dict[str, Any] | None = None
    #: llm: where the call goes, and what came back.
    route: Route | None = None
    request: ModelRequest | None = None
    response: ModelResponse | None = None
    #: llm: every answer that came in this attempt, whatever was made of it.
    answers: list[ModelResponse] = field(default_factory=list)
    #: tool, code: what came back, before it was checked.
    raw_output: Any = NOTHING
    #: llm, streamed: the answer so far, for the bill when the call is cancelled.
    partial_text: list[str] = field(default_factory=list)
    #: llm, streamed: answers of which only the beginning came.
    partial_answers: list[str] = field(default_factory=list)
    provider_seconds: float = 0.0
    #: Of Temporal's execution: with the attempt it names one physical try, whoever makes it.
    temporal_run_id: str
    #: llm: what must be committed before the call leaves, besides claim and reservation.
    opening: list[Statement] = field(default_factory=list)
    #: llm: to be part of the transaction that sets the money aside, so that both are one commit.
    claiming: Claiming | None = None
    fence: int = 0
    #: tool: what a second call would do, once the arguments are known.
    effect_class: EffectClass | None = None
    #: tool: True while this or an earlier attempt may have had its effect.
    unsettled: bool = False
    #: tool: nothing can find out whether it had.
    is_unknowable: bool = False
    #: tool, transactional: the transaction that is going to record the step.
    session: AsyncSession | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: MicroUsd = MicroUsd(0)
    cache_hit: bool = False
    pii: dict[str, int] = field(default_factory=dict)
    injection_score: float | None = None
    decision: dict[str, Any] = field(default_factory=dict)
    #: The calls below the step's own span.
    spans: list[SpanRecord] = field(default_factory=list)
    #: What the closing transaction stored.
    written_spans: list[SpanRecord] = field(default_factory=list)
    #: True when the journal had the result already, so that nothing was performed.
    is_reused: bool = False
    closing: list[ClosingAction] = field(default_factory=list)
    #: What the step does, how patiently it is repeated, and how long it may take.
    leaf: Leaf = field(init=False)
    retry: RetryPlan = field(init=False)
    timeout: TimeoutPlan = field(init=False)
    #: The journal's key.
    key: StepKey = field(init=False)

    def __post_init__(self) -> None:
        branch = self.node.branch_of(self.call.part)
        self.leaf, self.retry, self.timeout = leaf_of_step(self.node, self.call), branch.retry, branch.timeout
        self.key = step_key(self.call)

    @property
    def org_id(self) -> str:
        """The tenant."""
        return self.call.run.org_id

    @property
    def run_id(self) -> str:
        """The run."""
        return self.call.run.run_id

    @property
    def budget_run_id(self) -> str:
        """The run whose budget pays: the one at the top."""
        return self.call.run.root_run_id or self.call.run.run_id

    @property
    def where(self) -> str:
        """The step for people: `analyze`, `analyze[3]` or `refine/iteration:2`."""
        index, part = self.call.item_index, self.call.part
        item = "" if index is None else f"[{index}]"
        return f"{self.call.node_id}{item}" if part is None else f"{self.call.node_id}{item}/{part}"

    @property
    def effect_key(self) -> str:
        """The journal's identity of the step."""
        return effect_key(self.key)

    @property
    def span_attempt(self) -> StepAttempt:
        """Where the attempt's spans stand in the run's trace."""
        return StepAttempt(
            org_id=self.org_id,
            run_id=self.run_id,
            node_id=self.call.node_id,
            item_index=self.call.item_index,
            generation=self.call.generation,
            part=self.call.part,
            attempt=self.attempt,
        )

    def note_protected(self, protected: ProtectedValue) -> None:
        """Counts in what policy found in something that goes to a model."""
        if self.leaf.policy.pii == "redact":
            found = Counter(self.pii)
            found.update({finding.kind.value: finding.count for finding in protected.findings})
            self.pii = dict(found)
        self.injection_score = max(protected.injection.score, self.injection_score or 0.0)

    def journal_request(self) -> StepRequest:
        """The step as the journal knows it."""
        request = step_request(self.call, kind=self.leaf.kind, attempt=self.attempt)
        return replace(request, effect_class=self.effect_class)

    def usage(self) -> StepUsage:
        """What the step has used so far."""
        return StepUsage(
            provider=self.route.provider if self.route else None,
            model=self.response.model if self.response else None,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_micro_usd=self.cost_micro_usd,
            cache_hit=self.cache_hit,
            pii=self.pii,
            injection_score=self.injection_score,
            decision=self.decision,
        )


def accepted(context: StepContext) -> tuple[str, ...]:
    """What of an answer that is not whole is taken for one."""
    return context.leaf.parameters.accept if context.leaf.parameters is not None else ()


_CURRENT: ContextVar[StepContext | None] = ContextVar("agentflow_step", default=None)


def find_step() -> StepContext | None:
    """The step that this activity performs; None in an activity that is not a step."""
    return _CURRENT.get()


def current_step() -> StepContext:
    """The step that this activity performs."""
    context = _CURRENT.get()
    if context is None:
        raise LookupError("no step is under way here")
    return context


def enter_step(context: StepContext) -> Callable[[], None]:
    """Makes `context` the current step; the function that comes back ends that."""
    token = _CURRENT.set(context)
    return lambda: _CURRENT.reset(token)

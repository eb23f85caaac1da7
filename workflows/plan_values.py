"""From the configurations of a document to the values of a plan, field by field."""

from collections.abc import Mapping
from typing import Any

from runs.plan import (
    CodeParameters,
    Escalation,
    GatePlan,
    LoopPlan,
    MapPlan,
    ModelParameters,
    RetryPlan,
    StepPolicy,
    TimeoutPlan,
)
from workflows.node_configs import (
    ApprovalConfig,
    CodeConfig,
    LlmConfig,
    LoopConfig,
    MapConfig,
    PolicySpec,
    RetrySpec,
    TimeoutSpec,
    WaitConfig,
)

#: Seconds that one attempt may take where the document does not say.
DEFAULT_RUN_SECONDS: Mapping[str, float] = {
    "llm": 120.0,
    "tool": 300.0,
    "function": 60.0,
    "code": 420.0,
    # Opening and closing; waiting itself is the workflow's, and has its own time.
    "approval": 60.0,
    "wait": 60.0,
    "workflow": 60.0,
    "race": 60.0,
    # Of each turn, and of each call of a tool.
    "agent": 300.0,
}
#: Seconds without a heartbeat after which a worker is taken for dead, and a cancellation has arrived.
DEFAULT_IDLE_SECONDS = 10.0
#: Of an answer, where the document does not say and the model has the room.
_DEFAULT_MAX_TOKENS = 4_096
#: Functions cost less than their own bookkeeping; this many of them are one activity.
FUNCTION_BATCH = 500


def map_plan(config: MapConfig) -> MapPlan:
    """How a map works through its items."""
    default = FUNCTION_BATCH if config.body.type == "function" else 1
    return MapPlan(
        batch=config.batch or default,
        max_items=config.max_items,
        tolerated_failures=config.tolerate.count,
        tolerated_percent=config.tolerate.percent,
    )


def loop_plan(config: LoopConfig) -> LoopPlan:
    """How often a loop goes round, and how long it waits in between."""
    return LoopPlan(
        max_iterations=config.max_iterations,
        until=config.until,
        on_exhausted=config.on_exhausted,
        delay_seconds=config.delay,
    )


def retry_plan(spec: RetrySpec | None) -> RetryPlan:
    """How patiently a step is repeated; the defaults where nothing is said."""
    if spec is None:
        return RetryPlan()
    return RetryPlan(
        attempts=spec.attempts,
        initial_seconds=spec.initial,
        factor=spec.factor,
        max_seconds=spec.max,
        jitter=spec.jitter,
        when=spec.when,
    )


def timeout_plan(spec: TimeoutSpec | None, kind: str) -> TimeoutPlan:
    """How long a step of a kind may take."""
    given = spec or TimeoutSpec()
    run_seconds = given.run or DEFAULT_RUN_SECONDS[kind]
    return TimeoutPlan(
        run_seconds=run_seconds,
        idle_seconds=min(given.idle or DEFAULT_IDLE_SECONDS, run_seconds),
        queue_seconds=given.queue,
        total_seconds=given.total,
    )


def step_policy(node: PolicySpec, document: PolicySpec) -> StepPolicy:
    """The policy of a node, and of the document where the node does not say."""
    chosen: dict[str, Any] = {
        name: value
        for name in PolicySpec.model_fields
        if (value := getattr(node, name)) is not None or (value := getattr(document, name)) is not None
    }
    return StepPolicy(**{"cache": None, "tokens": "refuse", **chosen})


def gate_plan(config: ApprovalConfig | WaitConfig) -> GatePlan:
    """What a node waits for from outside."""
    if isinstance(config, WaitConfig):
        return GatePlan(wait_seconds=config.duration, timeout_seconds=config.timeout, on_timeout=config.on_timeout)
    return GatePlan(
        approvers=tuple(config.approvers),
        escalations=tuple(
            Escalation(after_seconds=step.after, approvers=tuple(step.approvers)) for step in config.escalate
        ),
        on_reject=config.on_reject,
        timeout_seconds=config.timeout,
        on_timeout=config.on_timeout,
    )


def code_parameters(config: CodeConfig) -> CodeParameters:
    """What runs in the sandbox."""
    return CodeParameters(
        language=config.language,
        source=config.source,
        module=config.module,
        seed=config.seed,
        clock=config.clock,
        fuel=config.limits.fuel,
        memory_bytes=config.limits.memory_bytes,
        wall_seconds=config.limits.wall_seconds,
        output_bytes=config.limits.output_bytes,
    )


def model_parameters(config: LlmConfig) -> ModelParameters:
    """How a model is asked."""
    return ModelParameters(
        max_output_tokens=config.max_tokens or _DEFAULT_MAX_TOKENS,
        may_shorten=config.max_tokens is None,
        accept=tuple(sorted(set(config.accept))),
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
        stop=tuple(config.stop),
        stream=config.stream,
        model=config.model,
    )

"""Spans as values: what the database stores, OTLP carries and analysis reads; and the pure builders of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from agentflow.digest import Json
from agentflow.ids import trace_id_of
from agentflow.money import MicroUsd
from observability.telemetry import attributes as names
from observability.telemetry.span_ids import StepAttempt, map_span_id, run_span_id

SpanKind = Literal["INTERNAL", "CLIENT", "SERVER"]
SpanStatus = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """A finished span of a run."""

    org_id: str
    run_id: str
    #: 32 hex digits.
    trace_id: str
    #: 16 hex digits.
    span_id: str
    parent_span_id: str | None
    name: str
    kind: SpanKind
    node_id: str | None
    item_index: int | None
    #: Counts from 1.
    attempt: int
    status: SpanStatus
    #: A stable error code or class name; never a message, which may quote content.
    error_type: str | None
    started_at: datetime
    ended_at: datetime
    attributes: Mapping[str, Json] = field(default_factory=dict)

    @property
    def duration_seconds(self) -> float:
        """How long it took; 0 where clocks disagree."""
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """When something began and ended, and how."""

    started_at: datetime
    ended_at: datetime
    status: SpanStatus = "ok"
    error_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """What is told of a model call; None where it is not known. Never the content."""

    provider: str
    request_model: str
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    #: Cached tokens included.
    input_tokens: int | None = None
    #: Reasoning tokens included.
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    time_to_first_chunk_seconds: float | None = None
    prompt_name: str | None = None
    prompt_version: int | None = None
    server_address: str | None = None
    server_port: int | None = None
    cost_micro_usd: MicroUsd | None = None
    #: Whether our own cache answered instead of the provider.
    cache_hit: bool = False


def run_span(
    *,
    org_id: str,
    run_id: str,
    name: str,
    outcome: Outcome,
    version: int | None = None,
    budget_micro_usd: MicroUsd | None = None,
    attributes: Mapping[str, Json] | None = None,
) -> SpanRecord:
    """The root of a run's trace; `name` and `version` are the workflow's."""
    own: dict[str, Json] = {
        names.SPAN_TYPE: "run",
        names.OPERATION_NAME: names.INVOKE_WORKFLOW,
        names.WORKFLOW_NAME: name,
        names.WORKFLOW_VERSION: version,
        names.BUDGET_MICRO_USD: budget_micro_usd,
    }
    return SpanRecord(
        org_id=org_id,
        run_id=run_id,
        trace_id=trace_id_of(run_id),
        span_id=run_span_id(run_id),
        parent_span_id=None,
        name=f"{names.INVOKE_WORKFLOW} {name}",
        kind="INTERNAL",
        node_id=None,
        item_index=None,
        attempt=1,
        status=outcome.status,
        error_type=outcome.error_type,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        attributes=_known(attributes, own),
    )


def map_span(
    *,
    org_id: str,
    run_id: str,
    node_id: str,
    item_count: int,
    outcome: Outcome,
    attributes: Mapping[str, Json] | None = None,
) -> SpanRecord:
    """The span of a whole map node: the parent of its items' spans."""
    own: dict[str, Json] = {names.SPAN_TYPE: "map", names.NODE_KIND: "map", names.ITEM_COUNT: item_count}
    return SpanRecord(
        org_id=org_id,
        run_id=run_id,
        trace_id=trace_id_of(run_id),
        span_id=map_span_id(run_id, node_id),
        parent_span_id=run_span_id(run_id),
        name=f"map {node_id}",
        kind="INTERNAL",
        node_id=node_id,
        item_index=None,
        attempt=1,
        status=outcome.status,
        error_type=outcome.error_type,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        attributes=_known(attributes, own),
    )


def step_span(
    step: StepAttempt, *, kind: str, outcome: Outcome, attributes: Mapping[str, Json] | None = None
) -> SpanRecord:
    """One attempt of one node or map item; `kind` is the node's (`llm`, `tool`, `function` …).

    Give it no cost: money stands on the span of the call that spent it.
    """
    item = "" if step.item_index is None else f"[{step.item_index}]"
    own: dict[str, Json] = {
        names.SPAN_TYPE: "step",
        names.NODE_KIND: kind,
        names.GENERATION: step.generation or None,
        names.PART: step.part,
    }
    return SpanRecord(
        org_id=step.org_id,
        run_id=step.run_id,
        trace_id=step.trace_id,
        span_id=step.span_id,
        parent_span_id=step.parent_span_id,
        name=f"step {step.node_id}{item}",
        kind="INTERNAL",
        node_id=step.node_id,
        item_index=step.item_index,
        attempt=step.attempt,
        status=outcome.status,
        error_type=outcome.error_type,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        attributes=_known(attributes, own),
    )


def llm_span(
    step: StepAttempt,
    *,
    ordinal: int,
    call: ModelCall,
    outcome: Outcome,
    attributes: Mapping[str, Json] | None = None,
) -> SpanRecord:
    """The `ordinal`-th call of an attempt, counted from 0 together with its tool calls, being a model call."""
    own: dict[str, Json] = {
        names.SPAN_TYPE: "llm",
        names.OPERATION_NAME: names.CHAT,
        names.PROVIDER_NAME: call.provider,
        names.REQUEST_MODEL: call.request_model,
        names.REQUEST_TEMPERATURE: call.temperature,
        names.REQUEST_TOP_P: call.top_p,
        names.REQUEST_MAX_TOKENS: call.max_tokens,
        names.REQUEST_SEED: call.seed,
        names.RESPONSE_MODEL: call.response_model,
        names.RESPONSE_ID: call.response_id,
        names.RESPONSE_FINISH_REASONS: list(call.finish_reasons) or None,
        names.RESPONSE_TIME_TO_FIRST_CHUNK: call.time_to_first_chunk_seconds,
        names.USAGE_INPUT_TOKENS: call.input_tokens,
        names.USAGE_OUTPUT_TOKENS: call.output_tokens,
        names.USAGE_CACHE_READ_INPUT_TOKENS: call.cache_read_input_tokens,
        names.USAGE_CACHE_CREATION_INPUT_TOKENS: call.cache_creation_input_tokens,
        names.USAGE_REASONING_OUTPUT_TOKENS: call.reasoning_output_tokens,
        names.PROMPT_NAME: call.prompt_name,
        names.PROMPT_VERSION: call.prompt_version,
        names.SERVER_ADDRESS: call.server_address,
        names.SERVER_PORT: call.server_port,
        names.COST_MICRO_USD: call.cost_micro_usd,
        names.CACHE_HIT: call.cache_hit,
    }
    name = f"{names.CHAT} {call.request_model}"
    return _call_span(step, ordinal, name=name, kind="CLIENT", outcome=outcome, attributes=_known(attributes, own))


def tool_span(
    step: StepAttempt,
    *,
    ordinal: int,
    name: str,
    outcome: Outcome,
    tool_call_id: str | None = None,
    tool_type: str | None = None,
    cost_micro_usd: MicroUsd | None = None,
    attributes: Mapping[str, Json] | None = None,
) -> SpanRecord:
    """The `ordinal`-th call of an attempt, counted from 0 together with its model calls, being a tool call."""
    own: dict[str, Json] = {
        names.SPAN_TYPE: "tool",
        names.OPERATION_NAME: names.EXECUTE_TOOL,
        names.TOOL_NAME: name,
        names.TOOL_CALL_ID: tool_call_id,
        names.TOOL_TYPE: tool_type,
        names.COST_MICRO_USD: cost_micro_usd,
    }
    name = f"{names.EXECUTE_TOOL} {name}"
    return _call_span(step, ordinal, name=name, kind="INTERNAL", outcome=outcome, attributes=_known(attributes, own))


def _call_span(
    step: StepAttempt,
    ordinal: int,
    *,
    name: str,
    kind: SpanKind,
    outcome: Outcome,
    attributes: Mapping[str, Json],
) -> SpanRecord:
    return SpanRecord(
        org_id=step.org_id,
        run_id=step.run_id,
        trace_id=step.trace_id,
        span_id=step.call_span_id(ordinal),
        parent_span_id=step.span_id,
        name=name,
        kind=kind,
        node_id=step.node_id,
        item_index=step.item_index,
        attempt=step.attempt,
        status=outcome.status,
        error_type=outcome.error_type,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        attributes=attributes,
    )


def _known(extra: Mapping[str, Json] | None, own: Mapping[str, Json]) -> dict[str, Json]:
    """The caller's and the builder's attributes without the unknown ones; the builder's win."""
    known: dict[str, Json] = dict(extra or {})
    known.update((name, value) for name, value in own.items() if value is not None)
    return known

"""Traces as JSON; `observability.analysis.models` makes them, this says what they hold."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class SpanSpend(BaseModel):
    """Tokens and money of a span and all below it."""

    input_tokens: int
    output_tokens: int
    cost_micro_usd: int


class TraceSpan(BaseModel):
    """A span of a run."""

    span_id: str
    parent_span_id: str | None
    depth: int
    name: str
    kind: str
    node_id: str | None
    item_index: int | None
    attempt: int
    status: str
    error_type: str | None
    started_at: datetime
    ended_at: datetime
    duration_ms: float
    spend: SpanSpend
    attributes: dict[str, Any] = Field(description="OpenTelemetry attributes (GenAI semantic conventions).")


class TraceFigures(BaseModel):
    """Figures of a whole trace."""

    span_count: int
    error_count: int
    retry_count: int
    cache_hit_count: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    wasted_cost_micro_usd: int


class TraceDetail(BaseModel):
    """The trace of a run: its spans, parents before children."""

    run_id: str
    trace_id: str
    started_at: datetime
    ended_at: datetime
    duration_ms: float
    is_complete: bool = Field(description="Whether the run's own span is there, which it is once the run has ended.")
    is_cut: bool
    totals: TraceFigures
    spans: list[TraceSpan]

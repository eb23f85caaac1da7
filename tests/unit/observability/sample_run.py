"""Spans of a small run, for the tests of this package."""

from datetime import UTC, datetime, timedelta

from agentflow.ids import new_id
from agentflow.money import MicroUsd
from observability.telemetry.span_ids import StepAttempt
from observability.telemetry.span_record import (
    ModelCall,
    Outcome,
    SpanRecord,
    SpanStatus,
    llm_span,
    map_span,
    run_span,
    step_span,
    tool_span,
)

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def outcome(start_ms: int, end_ms: int, status: SpanStatus = "ok", error_type: str | None = None) -> Outcome:
    """An outcome in milliseconds after START."""
    return Outcome(
        started_at=START + timedelta(milliseconds=start_ms),
        ended_at=START + timedelta(milliseconds=end_ms),
        status=status,
        error_type=error_type,
    )


def call(*, cost: int = 100, input_tokens: int = 1_000, output_tokens: int = 50, cache_hit: bool = False) -> ModelCall:
    return ModelCall(
        provider="openai",
        request_model="small-1",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_micro_usd=MicroUsd(cost),
        cache_hit=cache_hit,
    )


class SampleRun:
    """ingest (tool) → analyze (map of two llm items; item 1 fails once) → report, which is cancelled."""

    def __init__(self, org_id: str = "org_1") -> None:
        self.org_id = org_id
        self.run_id = new_id("run")

    def step(self, node_id: str, *, item_index: int | None = None, attempt: int = 1) -> StepAttempt:
        return StepAttempt(
            org_id=self.org_id, run_id=self.run_id, node_id=node_id, item_index=item_index, attempt=attempt
        )

    def run_span(self) -> SpanRecord:
        return run_span(org_id=self.org_id, run_id=self.run_id, name="analysis", outcome=outcome(0, 1_000, "cancelled"))

    def map_span(self) -> SpanRecord:
        return map_span(
            org_id=self.org_id, run_id=self.run_id, node_id="analyze", item_count=2, outcome=outcome(200, 800)
        )

    def spans(self) -> list[SpanRecord]:
        """All spans, in the order in which they end."""
        ingest, report = self.step("ingest"), self.step("report")
        first = self.step("analyze", item_index=0)
        failed, retried = (self.step("analyze", item_index=1, attempt=attempt) for attempt in (1, 2))
        return [
            tool_span(ingest, ordinal=0, name="s3.fetch", outcome=outcome(10, 190)),
            step_span(ingest, kind="tool", outcome=outcome(0, 200)),
            llm_span(first, ordinal=0, call=call(cost=100), outcome=outcome(210, 390)),
            step_span(first, kind="llm", outcome=outcome(200, 400)),
            llm_span(failed, ordinal=0, call=call(cost=30), outcome=outcome(210, 490)),
            step_span(failed, kind="llm", outcome=outcome(200, 500, "error", "OutputInvalid")),
            llm_span(retried, ordinal=0, call=call(cost=70), outcome=outcome(610, 790)),
            step_span(retried, kind="llm", outcome=outcome(600, 800)),
            self.map_span(),
            step_span(report, kind="function", outcome=outcome(800, 1_000, "cancelled")),
            self.run_span(),
        ]

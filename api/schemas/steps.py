"""Steps of runs as JSON: how each stands, and what its attempts sent and got."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.pagination import encode_cursor
from api.schemas.runs import RunError
from runs.effects import EffectClass
from runs.journal_repository import effect_key, run_id_below
from runs.models import StepKey, StepState
from runs.node_step_repository import NodeStep
from workflows.step_service import PARTS_SHOWN, StepReport


class StepSummary(BaseModel):
    """A step in a list."""

    item_index: int | None = Field(description="Of an item of a map.")
    part: str | None = Field(
        description="Which of the steps that a node is made of, such as `iteration:2` or `turn:0`; null for its own."
    )
    kind: str
    state: StepState
    attempt: int = Field(description="The last attempt's number.")
    started_at: datetime | None = Field(description="null of an item that was worked on in a batch.")
    finished_at: datetime | None
    model: str | None
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    error: RunError | None


class StepFacts(StepSummary):
    """A step with all that the journal holds of it."""

    provider: str | None
    cache_hit: bool
    pii: dict[str, int] = Field(description="Kind of personal data → occurrences that were tokenised.")
    injection_score: float | None
    possible_duplicates: int = Field(description="Attempts that were replaced while their effect may have happened.")
    effect_class: EffectClass | None
    decision: dict[str, Any] = Field(
        description="Of a model's call: the tier, the candidates, which was chosen, which were excluded, and why."
    )
    output_digest: str | None
    run_below: str | None = Field(description="The run that a `workflow` step is.")


class StepAttempt(BaseModel):
    """An attempt of a step; what it did not have is left out."""

    attempt: int
    status: str = Field(description="`ok`, `error` or `cancelled`.")
    began_at: datetime
    ended_at: datetime
    error: RunError | None
    messages: list[dict[str, Any]] = Field(default=[], description="What was sent to the model, after policy.")
    answers: list[dict[str, Any]] = Field(
        default=[], description="Every answer: its model, text, calls of tools, finish reason and tokens."
    )
    partial_answers: list[str] = Field(default=[], description="What had arrived of each answer that was broken off.")
    arguments: dict[str, Any] = Field(default={}, description="What a tool, a function or code was given.")
    output: Any = Field(default=None, description="What came back and was refused.")


class StepDetail(BaseModel):
    """What happened at a step."""

    run_id: str
    node_id: str
    item_index: int | None
    part: str | None
    step: StepFacts | None = Field(
        description="null of a node whose own step is not recorded, and of a map, whose items are."
    )
    attempts: list[StepAttempt] = Field(description="The latest first.")
    output: Any = Field(description="What the step gave; null for a list in pages, which the node's output has.")
    parts: list[StepSummary] = Field(description="The other steps that it is made of.")
    next_cursor: str | None = Field(description="Give it as `cursor` to the list of the node's steps for more parts.")


def step_summary_of(step: NodeStep) -> StepSummary:
    """A step in a list."""
    return StepSummary(**_summary(step))


def step_detail_of(key: StepKey, report: StepReport) -> StepDetail:
    """A step without its attempts and its output."""
    parts = report.parts[:PARTS_SHOWN]
    return StepDetail(
        run_id=key.run_id,
        node_id=key.node_id,
        item_index=key.item_index,
        part=key.part,
        step=_facts(key, report.step) if report.step is not None else None,
        attempts=[],
        output=None,
        parts=[step_summary_of(step) for step in parts],
        next_cursor=encode_cursor(str(parts[-1].where)) if len(report.parts) > PARTS_SHOWN else None,
    )


def _facts(key: StepKey, step: NodeStep) -> StepFacts:
    usage = step.usage
    is_run = step.kind == "workflow" and step.where.effect_key == effect_key(key)
    return StepFacts(
        **_summary(step),
        provider=usage.provider,
        cache_hit=usage.cache_hit,
        pii=dict(usage.pii),
        injection_score=usage.injection_score,
        possible_duplicates=step.possible_duplicates,
        effect_class=step.effect_class,
        decision=dict(usage.decision),
        output_digest=step.output_digest,
        run_below=run_id_below(key) if is_run else None,
    )


def _summary(step: NodeStep) -> dict[str, Any]:
    usage = step.usage
    return {
        "item_index": step.item_index,
        "part": step.part,
        "kind": step.kind,
        "state": step.state,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_micro_usd": usage.cost_micro_usd,
        "error": RunError(code=step.error_code, message=step.error_message or "") if step.error_code else None,
    }

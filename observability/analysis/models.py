"""Frozen values of a trace: a tree of spans with what each subtree cost."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from agentflow.digest import Json
from agentflow.money import MicroUsd
from observability.telemetry.span_record import SpanRecord

#: Fields of a span that are the same in JSON.
_JSON_FIELDS = (
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "node_id",
    "item_index",
    "attempt",
    "status",
    "error_type",
    "attributes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Tokens and money that a span and all below it took. An answer of our cache takes neither."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: MicroUsd = MicroUsd(0)

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_micro_usd=MicroUsd(self.cost_micro_usd + other.cost_micro_usd),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceTotals:
    """Figures of a whole trace."""

    span_count: int
    error_count: int
    #: Attempts beyond the first, over all steps; an attempt that died without a span counts too.
    retry_count: int
    cache_hit_count: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: MicroUsd
    #: The part of the cost that calls and attempts spent which did not end well.
    wasted_cost_micro_usd: MicroUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceNode:
    """A span in its place."""

    span: SpanRecord
    #: 0 for a root.
    depth: int
    #: In order of their start.
    children: tuple["TraceNode", ...]
    #: Of the span and everything below it.
    spend: Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All that is known of one run's spans."""

    run_id: str
    trace_id: str
    #: The run's span, with everything below it; while the run has not ended, the topmost spans there are.
    roots: tuple[TraceNode, ...]
    started_at: datetime
    ended_at: datetime
    totals: TraceTotals
    #: Whether the run's own span is there, which it is once the run has ended.
    is_complete: bool
    #: Whether spans were left out because there are too many; the figures are then of those that are here.
    is_cut: bool

    @property
    def duration_seconds(self) -> float:
        """From the first start to the last end."""
        return (self.ended_at - self.started_at).total_seconds()

    def walk(self) -> Iterator[TraceNode]:
        """Every node, parents before children, siblings by their start."""
        pending = list(reversed(self.roots))
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children))

    def to_json(self) -> dict[str, Json]:
        """The trace as JSON: the spans flat, in the order of `walk`, each with its depth and its parent's id."""
        totals: dict[str, Json] = asdict(self.totals)
        return {
            "run_id": self.run_id,
            "trace_id": self.trace_id,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "duration_ms": _milliseconds(self.duration_seconds),
            "is_complete": self.is_complete,
            "is_cut": self.is_cut,
            "totals": totals,
            "spans": [_node_json(node) for node in self.walk()],
        }


def spans_from_json(document: Mapping[str, Any]) -> list[SpanRecord]:
    """The spans in what `Trace.to_json` gives, for a client that has only that; without their organisation."""
    return [
        SpanRecord(
            org_id="",
            run_id=document["run_id"],
            trace_id=document["trace_id"],
            started_at=datetime.fromisoformat(span["started_at"]),
            ended_at=datetime.fromisoformat(span["ended_at"]),
            **{name: span[name] for name in _JSON_FIELDS},
        )
        for span in document["spans"]
    ]


def _node_json(node: TraceNode) -> dict[str, Json]:
    span = node.span
    spend: dict[str, Json] = asdict(node.spend)
    return {
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "depth": node.depth,
        "name": span.name,
        "kind": span.kind,
        "node_id": span.node_id,
        "item_index": span.item_index,
        "attempt": span.attempt,
        "status": span.status,
        "error_type": span.error_type,
        "started_at": span.started_at.isoformat(),
        "ended_at": span.ended_at.isoformat(),
        "duration_ms": _milliseconds(span.duration_seconds),
        "spend": spend,
        "attributes": dict(span.attributes),
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 3)

"""From the spans of a run to its tree and its figures; pure, and linear in the number of spans."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from agentflow.money import MicroUsd
from observability.analysis.models import Spend, Trace, TraceNode, TraceTotals
from observability.telemetry import attributes as names
from observability.telemetry.span_ids import run_span_id
from observability.telemetry.span_record import SpanRecord

#: A span in its place: its parent's place in the list (None for a root), its depth.
_Placed = tuple[SpanRecord, int | None, int]


def build_trace(spans: Sequence[SpanRecord], *, is_cut: bool = False) -> Trace:
    """The trace that `spans`, one or more of one run, make up.

    A span whose parent is missing hangs on the run's span; while that is missing too, it is a root. Raises
    ValueError when there are no spans.
    """
    if not spans:
        raise ValueError("a trace has one span at least")
    by_id = {span.span_id: span for span in spans}
    ordered = sorted(by_id.values(), key=_start_order)
    run_id = ordered[0].run_id
    run_span = by_id.get(run_span_id(run_id))
    placed = _place(ordered, by_id, run_span)
    starts = [span.started_at for span in ordered]
    return Trace(
        run_id=run_id,
        trace_id=ordered[0].trace_id,
        roots=_assemble(placed),
        started_at=min(starts),
        ended_at=max(*starts, *(span.ended_at for span in ordered)),
        totals=_totals(placed),
        is_complete=run_span is not None,
        is_cut=is_cut,
    )


def _start_order(span: SpanRecord) -> tuple[datetime, int, int, str]:
    item = -1 if span.item_index is None else span.item_index
    return span.started_at, item, span.attempt, span.span_id


def _place(
    ordered: Sequence[SpanRecord], by_id: Mapping[str, SpanRecord], run_span: SpanRecord | None
) -> list[_Placed]:
    """Every span once, parents before children, siblings by their start.

    Parents that form a ring are foreign data gone wrong; the earliest span of a ring is taken for an orphan.
    """
    parents = {span.span_id: _parent(span, by_id, run_span) for span in ordered}
    parents |= dict.fromkeys(_ring_openers(ordered, parents), run_span.span_id if run_span else None)
    children: dict[str | None, list[SpanRecord]] = defaultdict(list)
    for span in ordered:
        children[parents[span.span_id]].append(span)
    placed: list[_Placed] = []
    pending: list[_Placed] = [(span, None, 0) for span in reversed(children[None])]
    while pending:
        span, parent_place, depth = pending.pop()
        place = len(placed)
        placed.append((span, parent_place, depth))
        pending.extend((child, place, depth + 1) for child in reversed(children[span.span_id]))
    return placed


def _parent(span: SpanRecord, by_id: Mapping[str, SpanRecord], run_span: SpanRecord | None) -> str | None:
    if run_span is None:
        return span.parent_span_id if span.parent_span_id in by_id else None
    if span is run_span:
        return None
    return span.parent_span_id if span.parent_span_id in by_id else run_span.span_id


def _ring_openers(ordered: Sequence[SpanRecord], parents: Mapping[str, str | None]) -> list[str]:
    """The earliest span of each ring of parents."""
    rank = {span.span_id: place for place, span in enumerate(ordered)}
    settled: set[str] = set()
    openers = []
    for span in ordered:
        path: dict[str, None] = {}
        current: str | None = span.span_id
        while current is not None and current not in settled and current not in path:
            path[current] = None
            current = parents[current]
        if current is not None and current in path:
            walked = list(path)
            openers.append(min(walked[walked.index(current) :], key=rank.__getitem__))
        settled.update(path)
    return openers


def _assemble(placed: Sequence[_Placed]) -> tuple[TraceNode, ...]:
    """The nodes, made from the leaves up."""
    children: dict[int | None, list[TraceNode]] = defaultdict(list)
    for place in range(len(placed) - 1, -1, -1):
        span, parent_place, depth = placed[place]
        below = tuple(reversed(children.pop(place, [])))
        spend = sum((child.spend for child in below), start=_own_spend(span))
        children[parent_place].append(TraceNode(span=span, depth=depth, children=below, spend=spend))
    return tuple(reversed(children[None]))


def _totals(placed: Sequence[_Placed]) -> TraceTotals:
    spans = [span for span, _, _ in placed]
    spend = sum(map(_own_spend, spans), start=Spend())
    return TraceTotals(
        span_count=len(spans),
        error_count=sum(span.status == "error" for span in spans),
        retry_count=_retry_count(spans),
        cache_hit_count=sum(_is_cache_hit(span) for span in spans),
        input_tokens=spend.input_tokens,
        output_tokens=spend.output_tokens,
        cost_micro_usd=spend.cost_micro_usd,
        wasted_cost_micro_usd=_wasted_cost(placed),
    )


def _retry_count(spans: Iterable[SpanRecord]) -> int:
    last_attempts: dict[tuple[str | None, int | None, int, str], int] = {}
    for span in spans:
        if span.attributes.get(names.SPAN_TYPE) == "step":
            part = str(span.attributes.get(names.PART, ""))
            step = (span.node_id, span.item_index, _whole_number(span, names.GENERATION), part)
            last_attempts[step] = max(last_attempts.get(step, 1), span.attempt)
    return sum(attempt - 1 for attempt in last_attempts.values())


def _wasted_cost(placed: Sequence[_Placed]) -> MicroUsd:
    """What was spent by, or below, an attempt or call that did not end well.

    A run or a map that failed does not make its good steps' spending wasted: their results are kept.
    """
    wasted = 0
    is_waste: list[bool] = []
    for span, parent_place, _ in placed:
        failed = span.status != "ok" and span.attributes.get(names.SPAN_TYPE) not in {"run", "map"}
        is_waste.append(failed or (parent_place is not None and is_waste[parent_place]))
        if is_waste[-1]:
            wasted += _own_spend(span).cost_micro_usd
    return MicroUsd(wasted)


def _own_spend(span: SpanRecord) -> Spend:
    hit = _is_cache_hit(span)
    return Spend(
        input_tokens=0 if hit else _whole_number(span, names.USAGE_INPUT_TOKENS),
        output_tokens=0 if hit else _whole_number(span, names.USAGE_OUTPUT_TOKENS),
        cost_micro_usd=MicroUsd(_whole_number(span, names.COST_MICRO_USD)),
    )


def _is_cache_hit(span: SpanRecord) -> bool:
    return span.attributes.get(names.CACHE_HIT) is True


def _whole_number(span: SpanRecord, name: str) -> int:
    value = span.attributes.get(name)
    return value if isinstance(value, int) else 0

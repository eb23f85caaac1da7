"""A trace as lines of plain text: its figures, then its tree with a timeline beside it."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agentflow.money import MICRO_USD_PER_USD, MicroUsd, format_usd, spend_to_cents
from observability.analysis.models import Trace, TraceNode
from observability.analysis.timeline import timeline

#: A narrower terminal gets lines of this width.
MIN_WIDTH = 60
_TIME, _TOKENS, _COST = 7, 11, 10
_GAPS = 4
_MIN_BAR = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Glyphs:
    """What lines are drawn with."""

    branch: str
    last: str
    through: str
    blank: str
    bar: str
    cut: str
    status: Mapping[str, str]


_UNICODE = _Glyphs(
    branch="├─ ",
    last="└─ ",
    through="│  ",
    blank="   ",
    bar="█",
    cut="…",
    status={"ok": "✓", "error": "✗", "cancelled": "⊘"},
)
_ASCII = _Glyphs(
    branch="|- ",
    last="`- ",
    through="|  ",
    blank="   ",
    bar="#",
    cut="~",
    status={"ok": "+", "error": "x", "cancelled": "-"},
)


def trace_lines(trace: Trace, *, width: int = 100, use_unicode: bool = True) -> list[str]:
    """`trace` in lines of at most `width` columns (60 at least), without colours or trailing blanks.

    Tokens and cost stand for a span and all below it. With `use_unicode` off, all lines are ASCII.
    """
    glyphs = _UNICODE if use_unicode else _ASCII
    width = max(width, MIN_WIDTH)
    free = width - _TIME - _TOKENS - _COST - _GAPS
    bar_width = max(free * 2 // 5, _MIN_BAR)
    label_width = free - bar_width
    lines = [_fit(line, width, glyphs).rstrip() for line in _summary(trace)]
    heading = f"{'span':<{label_width}} {'time':>{_TIME}} {'tokens':>{_TOKENS}} {'cost':>{_COST}}"
    lines += ["", heading]
    labels = _labels(trace, label_width, glyphs)
    for label, row in zip(labels, timeline(trace, columns=bar_width), strict=True):
        lines.append(f"{label} {_figures(row.node)} {row.draw(fill=glyphs.bar)}")
    return lines


def _summary(trace: Trace) -> Iterator[str]:
    totals = trace.totals
    yield f"run    {trace.run_id}" + ("" if trace.is_complete else "  (not ended)")
    yield f"trace  {trace.trace_id}"
    yield f"time   {format_duration(trace.duration_seconds)} from {trace.started_at.isoformat(timespec='milliseconds')}"
    yield f"tokens {totals.input_tokens:,} in, {totals.output_tokens:,} out"
    wasted = f", of which {format_usd(totals.wasted_cost_micro_usd)} wasted" if totals.wasted_cost_micro_usd else ""
    yield f"cost   {format_usd(totals.cost_micro_usd)}{wasted}"
    counts = {
        "spans": totals.span_count,
        "errors": totals.error_count,
        "retries": totals.retry_count,
        "cache hits": totals.cache_hit_count,
    }
    yield "counts " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
    if trace.is_cut:
        yield f"note   too many spans: the first {totals.span_count:,} are shown and counted"


def _labels(trace: Trace, label_width: int, glyphs: _Glyphs) -> Iterator[str]:
    """The tree's column, in the order of `Trace.walk`; guides of deep trees lose their outer part."""
    guide_width = label_width * 2 // 9 * 3
    pending = [(node, "", "") for node in reversed(trace.roots)]
    while pending:
        node, lead, guide = pending.pop()
        yield _fit(lead + _title(node, glyphs), label_width, glyphs)
        for place in range(len(node.children) - 1, -1, -1):
            is_last = place == len(node.children) - 1
            child_lead = (guide + (glyphs.last if is_last else glyphs.branch))[-guide_width:]
            child_guide = (guide + (glyphs.blank if is_last else glyphs.through))[-guide_width:]
            pending.append((node.children[place], child_lead, child_guide))


def _title(node: TraceNode, glyphs: _Glyphs) -> str:
    span = node.span
    attempt = f" #{span.attempt}" if span.attempt > 1 else ""
    error = f" {span.error_type}" if span.error_type else ""
    return f"{glyphs.status[span.status]} {span.name}{attempt}{error}"


def _figures(node: TraceNode) -> str:
    spend = node.spend
    has_tokens = spend.input_tokens or spend.output_tokens
    tokens = f"{format_count(spend.input_tokens)}/{format_count(spend.output_tokens)}" if has_tokens else ""
    cost = format_cost(spend.cost_micro_usd) if spend.cost_micro_usd else ""
    return f"{format_duration(node.span.duration_seconds):>{_TIME}} {tokens:>{_TOKENS}} {cost:>{_COST}}"


def format_duration(seconds: float) -> str:
    """At most 7 columns for less than 100 days: `12ms`, `3.4s`, `5m07s`, `2h03m`, `4d05h`."""
    if seconds < 0.9995:
        return f"{round(seconds * 1_000)}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02d}h"


def format_count(count: int) -> str:
    """At most 4 columns for less than 1,000 million: `999`, `1.2k`, `45k`, `6.7M`; rounded down."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= 10 * size:
            return f"{count // size}{unit}"
        if count >= size:
            return f"{count // size}.{count % size * 10 // size}{unit}"
    return str(count)


def format_cost(cost: MicroUsd) -> str:
    """To the micro-dollar below 10 dollars, to the cent, rounded up, from there on: `$0.00125`, `$12.35`."""
    if cost < 10 * MICRO_USD_PER_USD:
        return format_usd(cost)
    cents = spend_to_cents(cost)
    return f"${cents // 100}.{cents % 100:02d}"


def _fit(line: str, width: int, glyphs: _Glyphs) -> str:
    """`line` in exactly `width` columns: cut, with a mark, or padded.

    Names come from documents and vendors: a control character, which could drive a terminal, becomes `?`.
    """
    clean = "".join(character if character.isprintable() else "?" for character in line)
    if glyphs is _ASCII:
        clean = clean.encode("ascii", errors="replace").decode()
    columns = display_width(clean)
    if columns <= width:
        return clean + " " * (width - columns)
    kept, used = [], 0
    for character in clean:
        used += display_width(character)
        if used >= width:
            break
        kept.append(character)
    cut = "".join(kept) + glyphs.cut
    return cut + " " * (width - display_width(cut))


def display_width(line: str) -> int:
    """How many columns a terminal gives `line`: two for wide East Asian characters, none for combining ones."""
    if line.isascii():
        return len(line)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in line
    )

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.money import MicroUsd
from observability.analysis import trace_text
from observability.analysis.trace_query import build_trace
from observability.analysis.trace_text import display_width, format_cost, format_count, format_duration, trace_lines
from observability.telemetry.span_record import SpanRecord, step_span
from tests.counted_work import calls_of
from tests.unit.observability.sample_run import SampleRun, outcome

_GOLDEN = [
    "span                                         time      tokens       cost",
    "⊘ invoke_workflow analysis                   1.0s    3.0k/150    $0.0002 ███████████████████████████",
    "├─ ✓ step ingest                            200ms                        ██████",
    "│  └─ ✓ execute_tool s3.fetch               180ms                        ██████",
    "├─ ✓ map analyze                            600ms    3.0k/150    $0.0002      █████████████████",
    "│  ├─ ✓ step analyze[0]                     200ms     1.0k/50    $0.0001      ██████",
    "│  │  └─ ✓ chat small-1                     180ms     1.0k/50    $0.0001      ██████",
    "│  ├─ ✗ step analyze[1] OutputInvalid       300ms     1.0k/50   $0.00003      █████████",
    "│  │  └─ ✓ chat small-1                     280ms     1.0k/50   $0.00003      █████████",
    "│  └─ ✓ step analyze[1] #2                  200ms     1.0k/50   $0.00007                 ██████",
    "│     └─ ✓ chat small-1 #2                  180ms     1.0k/50   $0.00007                 ██████",
    "└─ ⊘ step report                            200ms                                             ██████",
]


def test_the_tree_and_its_timeline_stand_side_by_side() -> None:
    trace = build_trace(SampleRun().spans())

    lines = trace_lines(trace, width=100)

    assert [
        f"run    {trace.run_id}",
        f"trace  {trace.trace_id}",
        "time   1.0s from 2026-01-02T03:04:05.000+00:00",
        "tokens 3,000 in, 150 out",
        "cost   $0.0002, of which $0.00003 wasted",
        "counts spans 11, errors 1, retries 1, cache hits 0",
        "",
    ] == lines[:7]
    assert lines[7:] == _GOLDEN


def test_without_unicode_every_line_is_ascii_of_the_same_shape() -> None:
    trace = build_trace(SampleRun().spans())

    plain = trace_lines(trace, width=100, use_unicode=False)

    to_ascii = str.maketrans({"├": "|", "└": "`", "─": "-", "│": "|", "█": "#", "…": "~", "✓": "+", "✗": "x", "⊘": "-"})
    assert [line.translate(to_ascii) for line in trace_lines(trace, width=100)] == plain
    assert all(line.isascii() for line in plain)


@given(
    width=st.integers(0, 250), names=st.lists(st.text(max_size=80), min_size=1, max_size=8), ascii_only=st.booleans()
)
def test_no_line_is_wider_than_asked_or_holds_a_control_character(
    width: int, names: list[str], ascii_only: bool
) -> None:
    run = SampleRun()
    spans = [
        replace(step_span(run.step(f"n{place}"), kind="tool", outcome=outcome(0, place)), name=name)
        for place, name in enumerate(names)
    ]

    lines = trace_lines(build_trace(spans), width=width, use_unicode=not ascii_only)

    assert all(display_width(line) <= max(width, 60) for line in lines)
    assert all(line.isprintable() and line == line.rstrip() for line in lines)
    assert not ascii_only or all(line.isascii() for line in lines)


def _wide(run: SampleRun) -> list[SpanRecord]:
    steps = (run.step("analyze", item_index=item) for item in range(4_998))
    spans = [step_span(step, kind="llm", outcome=outcome(200, 200)) for step in steps]
    return [run.run_span(), run.map_span(), *spans]


def _deep(run: SampleRun) -> list[SpanRecord]:
    span = step_span(run.step("a"), kind="tool", outcome=outcome(0, 1))
    return [
        replace(span, span_id=f"{depth:016x}", parent_span_id=f"{depth - 1:016x}" if depth else None)
        for depth in range(5_000)
    ]


@pytest.mark.parametrize("spans_of", [_wide, _deep])
def test_a_trace_of_5000_spans_is_printed_whole(spans_of: Callable[[SampleRun], list[SpanRecord]]) -> None:
    spans = spans_of(SampleRun())

    lines = trace_lines(build_trace(spans), width=80)

    assert 5_000 <= len(lines) <= 5_008
    assert all(display_width(line) <= 80 for line in lines)


@pytest.mark.parametrize("spans_of", [_wide, _deep])
def test_four_times_the_spans_take_four_times_the_steps(
    spans_of: Callable[[SampleRun], list[SpanRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    widest = 0
    fit = trace_text._fit

    def measured(text: str, width: int, glyphs: Any) -> str:
        nonlocal widest
        widest = max(widest, len(text))
        return fit(text, width, glyphs)

    monkeypatch.setattr(trace_text, "_fit", measured)
    spans = spans_of(SampleRun())

    few, many = (
        calls_of(lambda: trace_lines(build_trace(part), width=80))  # noqa: B023  # called at once
        for part in (spans[:1_250], spans[:5_000])
    )

    assert many < 4.5 * few
    # What stands before a deep span's name does not grow with its depth.
    assert widest < 200


def test_a_trace_that_was_cut_says_so() -> None:
    trace = build_trace(SampleRun().spans(), is_cut=True)

    assert "note   too many spans: the first 11 are shown and counted" in trace_lines(trace)


def test_a_run_under_way_is_marked() -> None:
    trace = build_trace(SampleRun().spans()[:4])

    assert trace_lines(trace)[0].endswith("(not ended)")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.0121, "12ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (59.94, "59.9s"),
        (59.96, "1m00s"),
        (3_599.4, "59m59s"),
        (3_599.6, "1h00m"),
        (86_399, "23h59m"),
        (90_000, "1d01h"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert text == format_duration(seconds)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (9_999, "9.9k"), (10_000, "10k"), (999_999, "999k"), (1_250_000, "1.2M")],
)
def test_counts_are_short(count: int, text: str) -> None:
    assert text == format_count(count)


@pytest.mark.parametrize(
    ("cost", "text"), [(1_250, "$0.00125"), (9_999_999, "$9.999999"), (12_341_000, "$12.35"), (10_000_000, "$10.00")]
)
def test_costs_are_short(cost: int, text: str) -> None:
    assert text == format_cost(MicroUsd(cost))

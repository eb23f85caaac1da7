from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.money import MicroUsd
from observability.analysis.models import Spend, Trace
from observability.analysis.trace_query import build_trace
from observability.telemetry.span_record import SpanRecord, llm_span, step_span
from tests.unit.observability.sample_run import START, SampleRun, call, outcome


def _outline(trace: Trace) -> list[tuple[int, str, int]]:
    return [(node.depth, node.span.name, node.span.attempt) for node in trace.walk()]


def test_spans_form_a_tree_in_order_of_start() -> None:
    trace = build_trace(SampleRun().spans())

    assert _outline(trace) == [
        (0, "invoke_workflow analysis", 1),
        (1, "step ingest", 1),
        (2, "execute_tool s3.fetch", 1),
        (1, "map analyze", 1),
        (2, "step analyze[0]", 1),
        (3, "chat small-1", 1),
        (2, "step analyze[1]", 1),
        (3, "chat small-1", 1),
        (2, "step analyze[1]", 2),
        (3, "chat small-1", 2),
        (1, "step report", 1),
    ]
    assert trace.is_complete
    assert trace.duration_seconds == 1.0


def test_totals_count_each_token_and_cent_once() -> None:
    totals = build_trace(SampleRun().spans()).totals

    assert (totals.span_count, totals.error_count, totals.cache_hit_count) == (11, 1, 0)
    assert (totals.input_tokens, totals.output_tokens, totals.cost_micro_usd) == (3_000, 150, 200)


def test_what_a_failed_attempt_spent_is_wasted_though_its_call_succeeded() -> None:
    totals = build_trace(SampleRun().spans()).totals

    assert (totals.retry_count, totals.wasted_cost_micro_usd) == (1, 30)


def test_a_failed_run_does_not_waste_what_its_good_steps_spent() -> None:
    run = SampleRun()
    step = run.step("analyze")
    spans = [
        replace(run.run_span(), status="error"),
        step_span(step, kind="llm", outcome=outcome(0, 10)),
        llm_span(step, ordinal=0, call=call(cost=40), outcome=outcome(0, 10)),
    ]

    assert build_trace(spans).totals.wasted_cost_micro_usd == 0


def test_a_failed_call_of_an_attempt_that_succeeded_is_wasted() -> None:
    step = SampleRun().step("analyze")
    spans = [
        step_span(step, kind="llm", outcome=outcome(0, 20)),
        llm_span(step, ordinal=0, call=call(cost=40), outcome=outcome(0, 10, "error", "Malformed")),
        llm_span(step, ordinal=1, call=call(cost=50), outcome=outcome(10, 20)),
    ]

    totals = build_trace(spans).totals

    assert (totals.cost_micro_usd, totals.wasted_cost_micro_usd) == (90, 40)


def test_attempts_that_died_without_a_span_count_as_retries() -> None:
    span = step_span(SampleRun().step("ingest", attempt=4), kind="tool", outcome=outcome(0, 1))

    assert build_trace([span]).totals.retry_count == 3


def test_an_answer_of_the_cache_takes_no_tokens() -> None:
    step = SampleRun().step("analyze")
    hit = llm_span(step, ordinal=0, call=call(cost=0, cache_hit=True), outcome=outcome(0, 1))

    totals = build_trace([hit]).totals

    assert (totals.cache_hit_count, totals.input_tokens, totals.output_tokens) == (1, 0, 0)


def test_a_node_has_the_spend_of_all_below_it() -> None:
    nodes = {node.span.name: node for node in build_trace(SampleRun().spans()).walk()}

    expected = Spend(input_tokens=3_000, output_tokens=150, cost_micro_usd=MicroUsd(200))
    assert expected == nodes["map analyze"].spend
    assert Spend() == nodes["step ingest"].spend


def test_a_span_without_its_parent_hangs_on_the_run() -> None:
    spans = [span for span in SampleRun().spans() if not span.name.startswith("map ")]

    trace = build_trace(spans)

    assert (1, "step analyze[0]", 1) in _outline(trace)
    assert len(trace.roots) == 1


def test_while_a_run_has_not_ended_its_topmost_spans_are_the_roots() -> None:
    trace = build_trace(SampleRun().spans()[:4])

    assert not trace.is_complete
    assert [node.span.name for node in trace.roots] == ["step ingest", "step analyze[0]"]


def test_no_spans_make_no_trace() -> None:
    with pytest.raises(ValueError, match="one span"):
        build_trace([])


def test_json_has_the_spans_flat_in_the_order_of_the_tree() -> None:
    trace = build_trace(SampleRun().spans())

    document = trace.to_json()

    spans = document["spans"]
    assert isinstance(spans, list)
    assert [(node.depth, node.span.span_id) for node in trace.walk()] == [(s["depth"], s["span_id"]) for s in spans]
    assert (1_000.0, trace.run_id) == (document["duration_ms"], document["run_id"])
    assert spans[5]["spend"] == {"input_tokens": 1_000, "output_tokens": 50, "cost_micro_usd": 100}


@given(st.data())
def test_every_span_stands_in_the_tree_once_whatever_the_parents(data: st.DataObject) -> None:
    run = SampleRun()
    size = data.draw(st.integers(1, 12))
    parents = data.draw(st.lists(st.none() | st.integers(0, 15), min_size=size, max_size=size))
    starts = data.draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    spans: list[SpanRecord] = [run.run_span()] if data.draw(st.booleans()) else []
    for place, (parent, start) in enumerate(zip(parents, starts, strict=True)):
        span = llm_span(run.step("analyze"), ordinal=place, call=call(cost=place), outcome=outcome(start, start))
        parent_id = None if parent is None else f"{parent:016x}"
        spans.append(replace(span, span_id=f"{place:016x}", parent_span_id=parent_id))

    trace = build_trace(spans)

    walked = [node.span.span_id for node in trace.walk()]
    assert sorted(span.span_id for span in spans) == sorted(walked)
    assert trace.totals.cost_micro_usd == sum(root.spend.cost_micro_usd for root in trace.roots)
    for node in trace.walk():
        child_starts = [child.span.started_at for child in node.children]
        assert sorted(child_starts) == child_starts
        assert all(child.depth == node.depth + 1 for child in node.children)
    if trace.is_complete:
        assert [run.run_span().span_id] == [root.span.span_id for root in trace.roots]


def test_clocks_that_disagree_stretch_the_trace_and_do_not_break_it() -> None:
    run = SampleRun()
    early = step_span(run.step("ingest"), kind="tool", outcome=outcome(-500, -400))

    trace = build_trace([run.run_span(), early])

    assert START - timedelta(milliseconds=500) == trace.started_at
    assert trace.duration_seconds == 1.5

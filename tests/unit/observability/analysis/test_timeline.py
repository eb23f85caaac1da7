import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from observability.analysis.timeline import timeline
from observability.analysis.trace_query import build_trace
from observability.telemetry.span_record import step_span
from tests.unit.observability.sample_run import SampleRun, outcome

_SPANS = st.lists(st.tuples(st.integers(-50, 5_000), st.integers(0, 5_000)), min_size=1, max_size=30)


def test_bars_lie_where_their_spans_lie() -> None:
    rows = timeline(build_trace(SampleRun().spans()), columns=20)

    assert [row.draw(fill="#") for row in rows] == [
        "####################",
        "####",
        "####",
        "    ############",
        "    ####",
        "    ####",
        "    ######",
        "    ######",
        "            ####",
        "            ####",
        "                ####",
    ]


@given(spans=_SPANS, columns=st.integers(1, 200))
@example(spans=[(0, 0), (1, 0)], columns=10)
def test_each_bar_is_visible_and_inside_the_width(spans: list[tuple[int, int]], columns: int) -> None:
    run = SampleRun()
    records = [
        step_span(run.step(f"node_{place}"), kind="function", outcome=outcome(start, start + length))
        for place, (start, length) in enumerate(spans)
    ]

    rows = timeline(build_trace(records), columns=columns)

    assert len(records) == len(rows)
    assert all(row.offset >= 0 and row.length >= 1 and row.offset + row.length <= columns for row in rows)


@given(spans=_SPANS, columns=st.integers(1, 200))
def test_a_later_start_is_never_drawn_earlier(spans: list[tuple[int, int]], columns: int) -> None:
    run = SampleRun()
    records = [
        step_span(run.step(f"node_{place}"), kind="function", outcome=outcome(start, start + length))
        for place, (start, length) in enumerate(spans)
    ]

    offsets = [row.offset for row in timeline(build_trace(records), columns=columns)]

    assert sorted(offsets) == offsets


def test_a_trace_of_no_length_has_a_bar() -> None:
    span = step_span(SampleRun().step("ingest"), kind="tool", outcome=outcome(3, 3))

    (row,) = timeline(build_trace([span]), columns=10)

    assert (row.offset, row.length) == (0, 1)


def test_a_timeline_needs_a_column() -> None:
    with pytest.raises(ValueError, match="1 column"):
        timeline(build_trace(SampleRun().spans()), columns=0)

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from agentflow.ids import new_id, span_id_of, trace_id_of

PATHS = st.lists(st.text("abc1", min_size=1, max_size=3), max_size=3)


def test_an_id_has_its_prefix_and_32_hex_digits() -> None:
    assert re.fullmatch(r"run_[0-9a-f]{32}", new_id("run"))


def test_an_id_holds_the_millisecond_in_which_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = int(new_id("run").removeprefix("run_")[:12], 16)
    after = time.time_ns() // 1_000_000

    assert before <= made <= after


def test_ten_thousand_ids_are_all_different() -> None:
    assert len({new_id("run") for _ in range(10_000)}) == 10_000


def test_an_id_sorts_after_those_of_earlier_milliseconds() -> None:
    first = new_id("run")
    deadline = time.monotonic() + 5
    while (second := new_id("run"))[:16] == first[:16]:
        assert time.monotonic() < deadline, "waited 5 s for the next millisecond"

    assert first < second


def test_a_trace_id_is_hex_begins_with_the_runs_time_and_is_the_same_every_time() -> None:
    run_id = new_id("run")

    trace_id = trace_id_of(run_id)

    assert re.fullmatch(r"[0-9a-f]{32}", trace_id)
    assert run_id.removeprefix("run_")[:12] == trace_id[:12]
    assert trace_id == trace_id_of(run_id)


def test_runs_of_one_millisecond_have_traces_of_their_own() -> None:
    time_part = "018f3a2b4c5d"

    traces = {trace_id_of(f"run_{time_part}{number:020x}") for number in range(100)}

    assert len(traces) == 100
    assert {time_part} == {trace[:12] for trace in traces}


def test_a_short_run_id_still_gives_a_whole_trace_id() -> None:
    assert re.fullmatch(r"0{9}abc[0-9a-f]{20}", trace_id_of("run_abc"))


def test_a_span_id_is_16_hex_digits_and_the_same_every_time() -> None:
    span_id = span_id_of("run_1", "classify", 3, 1)

    assert re.fullmatch(r"[0-9a-f]{16}", span_id)
    assert span_id == span_id_of("run_1", "classify", 3, 1)


@given(PATHS, PATHS)
def test_paths_share_a_span_id_only_when_they_are_equal(first: list[str], second: list[str]) -> None:
    assert (first == second) == (span_id_of("run_1", *first) == span_id_of("run_1", *second))


def test_steps_of_two_runs_have_spans_of_their_own() -> None:
    assert span_id_of("run_1", "classify") != span_id_of("run_2", "classify")

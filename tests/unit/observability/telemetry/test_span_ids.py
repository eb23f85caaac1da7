from hypothesis import given
from hypothesis import strategies as st

from observability.telemetry.span_ids import StepAttempt, run_span_id
from observability.telemetry.span_record import llm_span, step_span
from tests.unit.observability.sample_run import SampleRun, call, outcome

_PLACES = st.tuples(
    st.sampled_from(["a", "b"]), st.none() | st.integers(0, 3), st.integers(0, 2), st.integers(1, 3), st.integers(0, 2)
)


def test_a_step_hangs_on_the_run() -> None:
    run = SampleRun()

    assert run.run_span().span_id == run.step("ingest").parent_span_id


def test_an_item_hangs_on_its_map_and_the_map_on_the_run() -> None:
    run = SampleRun()
    map_span = run.map_span()

    assert map_span.span_id == run.step("analyze", item_index=0).parent_span_id
    assert run_span_id(run.run_id) == map_span.parent_span_id


def test_a_call_hangs_on_its_attempt() -> None:
    step = SampleRun().step("analyze", item_index=0, attempt=2)

    span = llm_span(step, ordinal=3, call=call(), outcome=outcome(0, 1))

    assert step_span(step, kind="llm", outcome=outcome(0, 1)).span_id == span.parent_span_id


def test_another_process_computes_the_same_ids() -> None:
    run_id = "run_019c0000000000000000000000000001"
    step = StepAttempt(org_id="org_1", run_id=run_id, node_id="analyze", item_index=0, generation=1, attempt=2)

    assert step.trace_id[:12] == "019c00000000"
    assert step.span_id == "608db344ec6e43d9"


@given(st.lists(_PLACES, unique=True, min_size=2, max_size=20))
def test_different_places_have_different_ids(places: list[tuple[str, int | None, int, int, int]]) -> None:
    ids = {
        StepAttempt(
            org_id="org_1", run_id="run_1", node_id=node, item_index=item, generation=generation, attempt=attempt
        ).call_span_id(ordinal)
        for node, item, generation, attempt, ordinal in places
    }

    assert len(places) == len(ids)

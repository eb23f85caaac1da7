import json
from dataclasses import replace

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from observability.analysis.models import spans_from_json
from observability.analysis.trace_query import build_trace
from observability.analysis.trace_text import trace_lines
from observability.telemetry.span_record import SpanRecord
from tests.unit.cli.answering_server import AnsweringServer
from tests.unit.observability.sample_run import SampleRun


def through_json(spans: list[SpanRecord], *, is_cut: bool = False) -> list[SpanRecord]:
    """The spans of a trace that went over the wire."""
    return spans_from_json(json.loads(json.dumps(build_trace(spans, is_cut=is_cut).to_json())))


def test_spans_come_back_from_json_as_they_were_but_for_their_organisation() -> None:
    spans = SampleRun().spans()

    found = through_json(spans)

    by_id = {span.span_id: replace(span, org_id="") for span in spans}
    assert by_id == {span.span_id: span for span in found}
    assert len(spans) == len(found)


def test_a_trace_built_of_spans_from_json_is_the_same_trace() -> None:
    spans = SampleRun().spans()
    trace = build_trace(spans)

    again = build_trace(through_json(spans))

    assert trace.to_json() == again.to_json()
    assert trace.totals == again.totals
    assert trace_lines(trace, width=120) == trace_lines(again, width=120)


def test_the_spans_of_a_run_under_way_come_back_without_its_own() -> None:
    spans = SampleRun().spans()[:-1]

    again = build_trace(through_json(spans, is_cut=True), is_cut=True)

    assert build_trace(spans, is_cut=True).to_json() == again.to_json()
    assert not again.is_complete


def test_the_command_prints_the_tree_that_the_server_would_print(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = build_trace(SampleRun().spans(), is_cut=True)
    server.answer(f"/api/v1/traces/{trace.run_id}", trace.to_json())

    assert ExitCode.OK == main(["trace", "get", trace.run_id, "--width", "100"])

    assert trace_lines(trace, width=100) == capsys.readouterr().out.splitlines()


def test_programs_get_the_trace_as_the_server_gave_it(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    document = build_trace(SampleRun().spans()).to_json()
    server.answer("/api/v1/traces/run_1", document)

    main(["trace", "get", "run_1", "--output", "json"])

    assert document == json.loads(capsys.readouterr().out)


def test_a_trace_that_does_not_exist_is_an_error(server: AnsweringServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.refuse("/api/v1/traces/run_1", 404, code="trace.not_found", detail="run 'run_1' has no trace")

    assert ExitCode.ERROR == main(["trace", "get", "run_1"])
    assert "Error: run 'run_1' has no trace\n" == capsys.readouterr().err

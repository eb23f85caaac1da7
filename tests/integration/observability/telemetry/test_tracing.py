import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from agentflow.money import MicroUsd
from agentflow.settings import Settings
from observability.telemetry.otlp_export import OtlpSpanExporter
from observability.telemetry.span_queue import SpanQueue
from observability.telemetry.span_record import ModelCall, llm_span, step_span
from observability.telemetry.tracing import SpanEmitter
from tests.integration.observability.telemetry.otlp_receiver import OtlpReceiver, attributes_of, otlp_receiver
from tests.unit.observability.sample_run import START, SampleRun, outcome


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as receiver:
        yield receiver


def _settings(endpoint: str) -> Settings:
    return Settings(otel_exporter_otlp_endpoint=endpoint, otel_service_name="agentflow-worker")


def test_closing_delivers_what_was_emitted(receiver: OtlpReceiver) -> None:
    emitter = SpanEmitter(_settings(receiver.endpoint + "/"))
    spans = SampleRun().spans()

    emitter.emit(spans[:4])
    emitter.emit(spans[4:])
    emitter.close()

    assert {"/v1/traces"} == set(receiver.paths)
    assert [span.span_id for span in spans] == [span.span_id.hex() for span in receiver.spans()]
    assert emitter.dropped == 0


def test_a_span_arrives_with_our_ids_times_and_attributes(receiver: OtlpReceiver) -> None:
    step = SampleRun("org_7").step("analyze", item_index=0, attempt=2)
    call = ModelCall(
        provider="openai",
        request_model="small-1",
        temperature=0.5,
        finish_reasons=("stop",),
        input_tokens=12,
        cost_micro_usd=MicroUsd(3),
    )
    record = llm_span(step, ordinal=0, call=call, outcome=outcome(1, 251, "error", "RateLimited"))

    emitter = SpanEmitter(_settings(receiver.endpoint))
    emitter.emit([record])
    emitter.close()

    (span,) = receiver.spans()
    assert (step.trace_id, step.span_id) == (span.trace_id.hex(), span.parent_span_id.hex())
    assert (span.name, span.kind) == ("chat small-1", Span.SPAN_KIND_CLIENT)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert int(START.timestamp()) * 1_000_000_000 + 1_000_000 == span.start_time_unix_nano
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "RateLimited")
    assert {
        "agentflow.span.type": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small-1",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 12,
        "agentflow.cost_micro_usd": 3,
        "agentflow.cache.hit": False,
        "agentflow.org.id": "org_7",
        "agentflow.run.id": step.run_id,
        "agentflow.node.id": "analyze",
        "agentflow.item.index": 0,
        "agentflow.attempt": 2,
        "agentflow.status": "error",
        "error.type": "RateLimited",
    } == attributes_of(span)


def test_the_resource_names_the_service(receiver: OtlpReceiver) -> None:
    emitter = SpanEmitter(_settings(receiver.endpoint))

    emitter.emit([SampleRun().run_span()])
    emitter.close()

    resource = {entry.key: entry.value.string_value for entry in receiver.received[0].resource.attributes}
    assert resource["service.name"] == "agentflow-worker"


def test_a_cancelled_root_has_no_parent_and_is_no_error(receiver: OtlpReceiver) -> None:
    emitter = SpanEmitter(_settings(receiver.endpoint))

    emitter.emit([SampleRun().run_span()])
    emitter.close()

    (span,) = receiver.spans()
    assert (span.parent_span_id, span.status.code) == (b"", Status.STATUS_CODE_UNSET)
    assert attributes_of(span)["agentflow.status"] == "cancelled"


def test_spans_leave_without_waiting_for_the_end(receiver: OtlpReceiver) -> None:
    queue = SpanQueue(OtlpSpanExporter(endpoint=receiver.endpoint, service_name="agentflow"), delay_seconds=0.01)

    queue.put([SampleRun().run_span()])

    assert receiver.reached.wait(10)
    queue.close(timeout_seconds=10)


def test_a_full_queue_drops_spans_and_does_not_block(receiver: OtlpReceiver) -> None:
    receiver.may_answer.clear()
    run = SampleRun()
    spans = [step_span(run.step(f"n{place}"), kind="tool", outcome=outcome(0, 1)) for place in range(20)]
    exporter = OtlpSpanExporter(endpoint=receiver.endpoint, service_name="agentflow")
    queue = SpanQueue(exporter, max_spans=5, batch_spans=2, delay_seconds=0.01)
    queue.put(spans[:2])
    assert receiver.reached.wait(10)

    queue.put(spans[2:])
    # Had it waited for its place, the collector would have answered before.
    assert [] == receiver.received
    receiver.may_answer.set()
    queue.close(timeout_seconds=60)

    assert queue.dropped == 13
    assert [span.span_id for span in spans[:7]] == [span.span_id.hex() for span in receiver.spans()]


def test_a_collector_that_refuses_costs_the_spans_and_nothing_else(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 400
    emitter = SpanEmitter(_settings(receiver.endpoint))

    with caplog.at_level(logging.ERROR):
        emitter.emit(SampleRun().spans())
        emitter.close()

    assert emitter.dropped == 11
    assert "Failed to export spans batch" in caplog.text


def test_closing_gives_up_on_a_silent_collector(receiver: OtlpReceiver) -> None:
    receiver.may_answer.clear()
    emitter = SpanEmitter(_settings(receiver.endpoint))
    emitter.emit(SampleRun().spans())

    emitter.close(timeout_seconds=0.2)

    assert [] == receiver.received


def test_closing_gives_up_on_a_dead_collector(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        emitter = SpanEmitter(_settings(f"http://127.0.0.1:{unused.getsockname()[1]}"))
        emitter.emit(SampleRun().spans())

        closing = threading.Thread(target=emitter.close, kwargs={"timeout_seconds": 0.2})
        with caplog.at_level(logging.CRITICAL):
            closing.start()
            closing.join(60)

    assert not closing.is_alive()


def test_what_is_emitted_after_closing_is_dropped(receiver: OtlpReceiver) -> None:
    emitter = SpanEmitter(_settings(receiver.endpoint))
    emitter.close()

    emitter.emit(SampleRun().spans())
    emitter.close()

    assert emitter.dropped == 11
    assert receiver.spans() == []

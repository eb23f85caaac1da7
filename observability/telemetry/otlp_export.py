"""Spans to any OpenTelemetry collector (Jaeger, Phoenix, Langfuse …) by OTLP over HTTP.

Imported only where an endpoint is set: the exporter brings an HTTP client and protobuf with it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AnyValue

from observability.telemetry import attributes as names
from observability.telemetry.span_record import SpanRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SCOPE = InstrumentationScope("agentflow", schema_url=names.SCHEMA_URL)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class OtlpSpanExporter:
    """Posts batches to `{endpoint}/v1/traces`, the path that the OTLP specification gives a base endpoint.

    Headers, timeout, compression and certificates follow the standard OTEL_EXPORTER_OTLP_* variables.
    """

    def __init__(self, *, endpoint: str, service_name: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._resource = Resource.create({names.SERVICE_NAME: service_name})

    def export(self, spans: Sequence[SpanRecord]) -> bool:
        """Sends a batch, retrying what may pass; False when the collector did not take it."""
        result = self._exporter.export([readable_span(span, self._resource) for span in spans])
        return result is SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Interrupts a waiting retry and closes the connections."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it without annotations


def readable_span(span: SpanRecord, resource: Resource) -> ReadableSpan:
    """`span` as OpenTelemetry's SDK has it, under the ids that we gave it."""
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_span_id) if span.parent_span_id else None,
        resource=resource,
        attributes=_export_attributes(span),
        kind=SpanKind[span.kind],
        status=Status(StatusCode.ERROR, span.error_type) if span.status == "error" else Status(StatusCode.UNSET),
        start_time=_nanoseconds(span.started_at),
        end_time=max(_nanoseconds(span.ended_at), _nanoseconds(span.started_at)),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND * 1_000


def _export_attributes(span: SpanRecord) -> dict[str, AnyValue]:
    """The span's attributes, and as attributes what the record has columns for."""
    columns: dict[str, AnyValue] = {
        names.ORG_ID: span.org_id,
        names.RUN_ID: span.run_id,
        names.NODE_ID: span.node_id,
        names.ITEM_INDEX: span.item_index,
        names.ATTEMPT: span.attempt,
        names.STATUS: span.status,
        names.ERROR_TYPE: span.error_type,
    }
    return {**span.attributes, **{name: value for name, value in columns.items() if value is not None}}

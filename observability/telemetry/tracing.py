"""Where spans leave the process: to an OTLP endpoint when the settings name one, to nowhere otherwise."""

from collections.abc import Sequence

from agentflow.settings import Settings
from observability.telemetry.span_queue import SpanExporterPort, SpanQueue
from observability.telemetry.span_record import SpanRecord


class SpanEmitter:
    """Exports spans in the background; neither blocks nor fails the step that emits them."""

    def __init__(self, settings: Settings) -> None:
        exporter = _exporter(settings)
        self._queue = SpanQueue(exporter) if exporter is not None else None

    @property
    def dropped(self) -> int:
        """How many spans did not reach the collector."""
        return self._queue.dropped if self._queue is not None else 0

    def emit(self, spans: Sequence[SpanRecord]) -> None:
        """Queues `spans` for export; without an endpoint, does nothing."""
        if self._queue is not None:
            self._queue.put(spans)

    def close(self, *, timeout_seconds: float = 5.0) -> None:
        """Exports what is queued, waiting at most `timeout_seconds`; blocking, so call it off the event loop."""
        if self._queue is not None:
            self._queue.close(timeout_seconds=timeout_seconds)


def _exporter(settings: Settings) -> SpanExporterPort | None:
    if not settings.otel_exporter_otlp_endpoint:
        return None
    from observability.telemetry.otlp_export import OtlpSpanExporter

    return OtlpSpanExporter(endpoint=settings.otel_exporter_otlp_endpoint, service_name=settings.otel_service_name)

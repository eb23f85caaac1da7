"""A bounded queue before an exporter, so that a slow or dead collector costs spans and never a step."""

import threading
from collections.abc import Sequence
from typing import Protocol

from observability.telemetry.logging import get_logger
from observability.telemetry.span_record import SpanRecord

log = get_logger(__name__)


class SpanExporterPort(Protocol):
    """Sends spans somewhere; used by one thread at a time, and may block it."""

    def export(self, spans: Sequence[SpanRecord]) -> bool:
        """Sends a batch; False when it was not taken."""
        ...

    def shutdown(self) -> None:
        """Interrupts a waiting export and frees the connections."""
        ...


class SpanQueue:
    """Hands spans to an exporter in batches, on a thread of its own that starts with the first span."""

    def __init__(
        self,
        exporter: SpanExporterPort,
        *,
        max_spans: int = 4096,
        batch_spans: int = 512,
        delay_seconds: float = 1.0,
    ) -> None:
        self._exporter = exporter
        self._max_spans = max_spans
        self._batch_spans = batch_spans
        self._delay_seconds = delay_seconds
        self._pending: list[SpanRecord] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._abandoned = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many spans were refused for want of room, came after closing, or were not taken by the exporter."""
        return self._dropped

    def put(self, spans: Sequence[SpanRecord]) -> None:
        """Queues what there is room for and drops the rest; never waits for the exporter."""
        with self._changed:
            room = 0 if self._closing else self._max_spans - len(self._pending)
            taken = spans[:room]
            self._pending.extend(taken)
            first_drop = len(taken) < len(spans) and self._dropped == 0
            self._dropped += len(spans) - len(taken)
            if self._thread is None and taken:
                self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
                self._thread.start()
            self._changed.notify()
        if first_drop:
            log.warning("spans.dropped", max_spans=self._max_spans)

    def close(self, *, timeout_seconds: float) -> None:
        """Exports what is queued, for at most `timeout_seconds`; blocking. What is left then is dropped."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        with self._changed:
            self._abandoned = True
            self._dropped += len(self._pending)
            self._pending.clear()
        self._exporter.shutdown()

    def _run(self) -> None:
        while batch := self._next_batch():
            if not self._export(batch):
                with self._changed:
                    self._dropped += len(batch)

    def _next_batch(self) -> list[SpanRecord]:
        """Waits for spans, then a little for more of them; empty when the queue is closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            self._changed.wait_for(
                lambda: len(self._pending) >= self._batch_spans or self._closing, timeout=self._delay_seconds
            )
            batch = self._pending[: self._batch_spans]
            del self._pending[: self._batch_spans]
            return batch

    def _export(self, batch: Sequence[SpanRecord]) -> bool:
        if self._abandoned:
            return False
        try:
            return self._exporter.export(batch)
        except Exception:  # The thread's edge: whatever the exporter dies of, the next batch is tried.
            log.warning("spans.export_failed", spans=len(batch), exc_info=True)
            return False

"""A collector on the loopback interface that speaks as much OTLP/HTTP as exporters need."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from tests.deadline import PATIENCE_SECONDS


@dataclass
class OtlpReceiver:
    """What has come in, and whether to answer."""

    port: int = 0
    status: int = 200
    paths: list[str] = field(default_factory=list)
    received: list[ResourceSpans] = field(default_factory=list)
    #: Set once the first request is in.
    reached: threading.Event = field(default_factory=threading.Event)
    #: Answers wait for it.
    may_answer: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        return [span for resource in self.received for scope in resource.scope_spans for span in scope.spans]


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Receives until the block ends; answers at once unless `may_answer` is cleared."""
    receiver = OtlpReceiver()
    receiver.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # The base class's name.
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.reached.set()
            receiver.may_answer.wait(PATIENCE_SECONDS)
            if receiver.status == 200:
                receiver.paths.append(self.path)
                receiver.received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # The base class's name.
            """Keeps the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the receiver did not end"


def attributes_of(span: Span) -> Mapping[str, object]:
    """A span's attributes as Python values."""
    return {attribute.key: _value(attribute.value) for attribute in span.attributes}


def _value(value: AnyValue) -> object:
    if value.HasField("array_value"):
        return [_value(item) for item in value.array_value.values]
    return getattr(value, str(value.WhichOneof("value")))

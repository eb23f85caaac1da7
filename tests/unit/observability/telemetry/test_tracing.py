import subprocess
import sys

_PROGRAM = """
import sys
from agentflow.settings import Settings
from observability.telemetry.tracing import SpanEmitter
from tests.unit.observability.sample_run import SampleRun

emitter = SpanEmitter(Settings(otel_exporter_otlp_endpoint=None))
emitter.emit(SampleRun().spans())
emitter.close()
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")), emitter.dropped)
"""


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    finished = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[] 0"

"""The local model as a part of the stack: a kept-alive process, and the offer that routing may choose."""

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from agentflow.settings import ModelOffer
from cli.embedded.local_model import CONTEXT_TOKENS, MODEL_NAME, weights_file
from cli.embedded.ports import free_port
from cli.embedded.service_process import ServiceProcess, ServiceSpec
from cli.embedded.system_environment import system_environment
from cli.embedded.waiting import LOOPBACK, answers_http

_READY_TIMEOUT_SECONDS = 60.0


def local_model_offer() -> ModelOffer:
    """The local model for every tier, at a nominal internal price: 2 and 4 cents per million tokens in and out."""
    return ModelOffer(
        provider="local",
        model=MODEL_NAME,
        input_micro_usd_per_million_tokens=20_000,
        output_micro_usd_per_million_tokens=40_000,
        context_tokens=CONTEXT_TOKENS,
    )


class LocalModelServer:
    """An OpenAI-compatible server of the local model on 127.0.0.1; port zero becomes a free one."""

    def __init__(
        self, port: int = 0, *, logs_folder: Path | None = None, on_restart: Callable[[], None] = lambda: None
    ) -> None:
        weights_file()
        self.port = port or free_port()
        self._scratch = tempfile.TemporaryDirectory(prefix="agentflow-model-") if logs_folder is None else None
        folder = logs_folder or Path(self._scratch.name if self._scratch else "")
        self._service = ServiceProcess(
            ServiceSpec(
                name="model",
                command=[sys.executable, "-P", "-m", "cli.embedded.local_model", "--port", str(self.port)],
                environment=system_environment(),
                log_file=folder / "model.log",
                is_ready=lambda: answers_http(self.port, "/health"),
                ready_timeout_seconds=_READY_TIMEOUT_SECONDS,
            ),
            on_restart=on_restart,
        )

    @property
    def url(self) -> str:
        """The base URL that OpenAI's clients take."""
        return f"http://{LOOPBACK}:{self.port}/v1"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return self._service.pid

    def start(self, cancelled: threading.Event | None = None) -> None:
        """Returns when the model answers; raises as ServiceProcess.start does."""
        try:
            self._service.start(cancelled)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server. Idempotent."""
        self._service.stop()
        if self._scratch is not None:
            self._scratch.cleanup()

"""A real uvicorn server with our application, on a thread and an event loop of its own."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from activities.tools.tool import Tool
from agentflow.settings import Settings
from api.app import create_app
from api.http_server import http_server
from cli.embedded.waiting import LOOPBACK, answers_http, wait_until

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0


class ApiServer:
    """The application of `settings` on a free port of the loopback interface; use it as a context manager.

    Tests that block their event loop may speak to it, because it does not run on theirs.
    """

    def __init__(self, settings: Settings, tools: Mapping[str, Tool] | None = None) -> None:
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        self._server = http_server(create_app(settings, tools=tools), settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="api-server")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the server runs on."""
        [listener] = self._server.servers
        return listener.get_loop()

    def __enter__(self) -> Self:
        self._thread.start()
        if not wait_until(self._is_up, timeout_seconds=_START_SECONDS):
            self.stop()
            raise AssertionError(f"the API did not start within {_START_SECONDS} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._socket.close()
        assert not self._thread.is_alive()

    def _is_up(self) -> bool:
        return not self._thread.is_alive() or answers_http(self.port, "/health")

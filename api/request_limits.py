"""Bounds what a request may bring, before anything reads it into memory; and counts what was answered."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_responses import error_response
from api.errors import RequestTooLarge
from observability.telemetry.metrics import Metrics

MAX_BODY_BYTES = 4 * 1024 * 1024


class BodyLimit:
    """Refuses bodies past a limit with 413, whether their length was announced or not."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._limit_bytes = app, limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._limit_bytes:
            await error_response(RequestTooLarge(limit_bytes=self._limit_bytes))(scope, receive, send)
            return
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit_bytes:
                raise RequestTooLarge(limit_bytes=self._limit_bytes)
            return message

        await self._app(scope, limited_receive, send)

    @staticmethod
    def _announced(scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length":
                return int(value) if value.isdigit() else 0
        return 0


class RequestMetrics:
    """Counts and times requests by the route's template."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.record_http_request(
                method=scope["method"], route=route, status=status, duration_seconds=time.perf_counter() - began
            )

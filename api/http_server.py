"""The server that the application runs in, with its limits."""

import uvicorn
from starlette.types import ASGIApp

from agentflow.settings import Settings
from api.http_protocol import ConnectionLimits, LimitedProtocol

_GRACE_SECONDS = 8


def http_server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """A server of `app`, to be run."""
    limits = ConnectionLimits(
        head_seconds=settings.api_head_seconds,
        body_seconds=settings.api_body_seconds,
        most_connections=settings.api_max_connections,
    )
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            loop="uvloop",
            http=LimitedProtocol.with_limits(limits),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )

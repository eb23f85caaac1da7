"""Who may have payloads opened: an operator, with a key of the deployment's own, from the Web UI's pages or without.

The payloads of all organisations share one namespace, so no organisation's API key may open them.
"""

import hmac
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from agentflow.settings import Settings
from api.dependencies import get_services
from api.errors import OperatorKeyRequired
from api.guarded_route import guarded_by

CODEC_PATH = "/codec"

_bearer = HTTPBearer(auto_error=False, scheme_name="codecKey", description="The setting CODEC_ENDPOINT_KEY.")
_basic = HTTPBasic(auto_error=False, scheme_name="codecPassword", description="The same as the password, for browsers.")


async def check_operator(request: Request) -> None:
    """Raises OperatorKeyRequired unless the request has the deployment's key."""
    expected = get_services(request).settings.codec_endpoint_key
    bearer, basic = await _bearer(request), await _basic(request)
    given = bearer.credentials if bearer is not None else basic.password if basic is not None else ""
    is_known = expected is not None and hmac.compare_digest(
        given.encode(errors="surrogatepass"), expected.get_secret_value().encode()
    )
    if not is_known:
        raise OperatorKeyRequired


@guarded_by(check_operator)
async def require_operator(
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> None:
    """Only operators come here; the parameters are for OpenAPI."""


class CodecCors:
    """Lets the pages at TEMPORAL_UI_URL, and no others, call the codec; the rest of the API has no business there."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._codec = CORSMiddleware(
            app,
            allow_origins=[origin] if (origin := ui_origin(settings)) is not None else [],
            allow_methods=["POST"],
            allow_headers=["Authorization", "Content-Type", "X-Namespace"],
            allow_credentials=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        is_codec = scope["type"] == "http" and scope["path"].startswith(f"{CODEC_PATH}/")
        await (self._codec if is_codec else self._app)(scope, receive, send)


def ui_origin(settings: Settings) -> str | None:
    """The origin of the Web UI's pages, as browsers send it (RFC 6454); None when there is no Web UI."""
    parts = urlsplit(settings.temporal_ui_url or "")
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme and parts.netloc else None

"""Opens payloads for Temporal's Web UI and command line: Temporal's codec server protocol, for operators.

`…/decode` and `…/encode` take and give Payloads in protobuf's JSON form. The Web UI sends what the browser signed in
with where "Include cross-origin credentials" is set; `/codec/sign-in` is where a browser asks for it.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from temporalio.api.common.v1 import Payload

from api.codec_access import CODEC_PATH, require_operator
from api.error_responses import bare_problem_responses
from api.errors import PayloadsUnreadable
from api.guarded_route import GuardedRoute
from workflows.payload_codec import EncryptingCodec

_MAX_PAYLOADS = 1_000
_MAX_METADATA = 32
#: Twice what a history holds, in base64.
_MAX_CHARACTERS = 180_000

_Base64 = Annotated[str, Field(max_length=_MAX_CHARACTERS, description="Bytes in base64.")]
_RESPONSES = bare_problem_responses(400, 401, 413, 422, 500, 503)


class GivenPayload(BaseModel):
    """A payload as Temporal's Web UI and command line send it."""

    metadata: dict[str, _Base64] = Field(default_factory=dict, max_length=_MAX_METADATA)
    data: _Base64 | None = None


class GivenPayloads(BaseModel):
    """Temporal's `Payloads`."""

    payloads: list[GivenPayload] = Field(default_factory=list, max_length=_MAX_PAYLOADS)


class AnsweredPayload(BaseModel):
    """A payload; all values are bytes in base64."""

    metadata: dict[str, str] = Field(default_factory=dict)
    data: str = ""


class AnsweredPayloads(BaseModel):
    """As many as were given, in their order."""

    payloads: list[AnsweredPayload]


def codec_router(codec: EncryptingCodec) -> APIRouter:
    """The operations over the deployment's codec."""
    router = APIRouter(
        route_class=GuardedRoute, prefix=CODEC_PATH, tags=["codec"], dependencies=[Depends(require_operator)]
    )

    @router.post("/decode", summary="Decrypt payloads", responses=_RESPONSES)
    async def decode_payloads(body: GivenPayloads) -> AnsweredPayloads:
        """Those that are not encrypted come back as they are. 400 when the key of one is not configured.

        What was altered comes with the encoding `agentflow/refused` and the reason.
        """
        return await _converted(body, codec.decode)

    @router.post("/encode", summary="Encrypt payloads", responses=_RESPONSES)
    async def encode_payloads(body: GivenPayloads) -> AnsweredPayloads:
        """With the active key."""
        return await _converted(body, codec.encode)

    @router.get(
        "/sign-in",
        summary="Sign a browser in",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The key is right."},
            **bare_problem_responses(401, 500, 503),
        },
    )
    async def sign_in_to_codec() -> Response:
        """A browser asks for the key here, and sends it for the Web UI then."""
        return Response("You are signed in; Temporal's Web UI can show payloads.\n", media_type="text/plain")

    return router


async def _converted(
    body: GivenPayloads, convert: Callable[[Sequence[Payload]], Awaitable[list[Payload]]]
) -> AnsweredPayloads:
    try:
        payloads = [_payload(given) for given in body.payloads]
    except ValueError:
        # Without the cause, which may quote a value.
        raise PayloadsUnreadable from None
    return AnsweredPayloads(payloads=[_answered(payload) for payload in await convert(payloads)])


def _payload(given: GivenPayload) -> Payload:
    metadata = {name: _bytes(value) for name, value in given.metadata.items()}
    return Payload(metadata=metadata, data=_bytes(given.data or ""))


def _answered(payload: Payload) -> AnsweredPayload:
    metadata = {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()}
    return AnsweredPayload(metadata=metadata, data=base64.b64encode(payload.data).decode())


def _bytes(text: str) -> bytes:
    """Base64 of either alphabet, padded or not, as protobuf's JSON may be; raises ValueError for what is neither."""
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)

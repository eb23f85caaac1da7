"""Answers with JSON that can be large: written aside, or sent in pieces between which others have a turn."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable, Mapping

from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from workflows.tenant_work import TenantWork

_PIECE_BYTES = 64 * 1024


def answer_with(
    model: BaseModel, contents: Mapping[str, bytes], *, status: int = 200, location: str | None = None
) -> StreamingResponse:
    """`model` as JSON with these members in place of its own, whose values are JSON as bytes."""
    headers = {"Location": location} if location is not None else None
    pieces = _pieces(model, contents)
    return StreamingResponse(pieces, status_code=status, headers=headers, media_type="application/json")


async def answer_from(
    work: TenantWork, write: Callable[..., bytes], *arguments: object, org_id: str, size_bytes: int, status: int = 200
) -> Response:
    """The JSON that `write` makes of its arguments, aside; raises as `TenantWork.run`."""
    content = await work.run(write, *arguments, org_id=org_id, size_bytes=size_bytes)
    return Response(content, status_code=status, media_type="application/json")


async def _pieces(model: BaseModel, contents: Mapping[str, bytes]) -> AsyncIterator[bytes]:
    yield model.model_dump_json(exclude=set(contents)).encode()[:-1]
    for name, content in contents.items():
        yield f', "{name}": '.encode()
        # A model may have written half a character (a lone surrogate), which UTF-8 cannot say.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for start in range(0, len(content), _PIECE_BYTES):
            is_last = start + _PIECE_BYTES >= len(content)
            yield decoder.decode(content[start : start + _PIECE_BYTES], final=is_last).encode()
            # What the socket takes at once is no turn for others.
            await asyncio.sleep(0)
    yield b"}"

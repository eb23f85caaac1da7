"""References to stored content as tools pass them on, and what `as` makes of content that was fetched."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activities.errors import DocumentTooLarge, DocumentUnreadable
from activities.readers.strict_json import NotJson, read_json
from activities.tools.document_text import document_text, source_text
from activities.tools.tool import ToolContext

#: What is parsed inside the worker: as Python values JSON takes up to thirty times its size.
MAX_JSON_BYTES = 4 * 1024 * 1024
#: What is longer is parsed in a thread, so that heartbeats and other steps go on meanwhile.
_INLINE_CHARACTERS = 64 * 1024

AS_SCHEMA: Mapping[str, Any] = {
    "enum": ["text", "json", "document"],
    "description": "What comes out; text when it is left out.",
}
REFERENCE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "document": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "media_type": {"type": "string"},
        "name": {"type": "string"},
        "charset": {"type": "string"},
    },
    "required": ["document", "name"],
    "description": "A document that http.request, s3.fetch or file.read gave.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Content from outside, and what is known of it."""

    content: bytes
    media_type: str
    name: str
    #: As a header declared it.
    charset: str | None = None


async def reference(context: ToolContext, fetched: Fetched) -> dict[str, Any]:
    """Stores the content; the reference that stands in outputs."""
    digest = await context.store(content=fetched.content, media_type=fetched.media_type)
    stored = {
        "document": digest,
        "media_type": fetched.media_type,
        "name": fetched.name,
        "size_bytes": len(fetched.content),
    }
    return stored if fetched.charset is None else {**stored, "charset": fetched.charset}


async def dereferenced(context: ToolContext, document: Mapping[str, Any]) -> Fetched:
    """The content that a reference stands for; raises BlobNotFound."""
    return Fetched(
        content=await context.load(document["document"]),
        media_type=document.get("media_type", ""),
        name=document["name"],
        charset=document.get("charset"),
    )


async def given_as(context: ToolContext, fetched: Fetched, form: str) -> Any:
    """The content as `text`, `json` or `document`; raises DocumentUnreadable or DocumentTooLarge."""
    if form == "document":
        return await reference(context, fetched)
    if form == "json":
        return await json_of(fetched)
    found = await document_text(
        context.readers,
        fetched.content,
        media_type=fetched.media_type,
        name=fetched.name,
        charset=fetched.charset,
    )
    return found.text


async def json_of(fetched: Fetched) -> Any:
    """The content as JSON; raises DocumentUnreadable, or DocumentTooLarge for what document.json is for."""
    if len(fetched.content) > MAX_JSON_BYTES:
        raise DocumentTooLarge(
            location=fetched.name,
            size_bytes=len(fetched.content),
            limit_bytes=MAX_JSON_BYTES,
            advice="of JSON that is read at once; fetch it as: document and give it to document.json",
        )
    text = await source_text(fetched.content, media_type="application/json", name=fetched.name, charset=fetched.charset)
    try:
        return await asyncio.to_thread(read_json, text) if len(text) > _INLINE_CHARACTERS else read_json(text)
    except NotJson as error:
        raise DocumentUnreadable(name=fetched.name, reason=f"it is not JSON: {error}") from None

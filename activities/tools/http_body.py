"""The body of an HTTP answer as the output of a step: JSON, text, or a document, and never gone without a word."""

from email.message import Message
from typing import Any

from activities.errors import DocumentTooLarge, DocumentUnreadable
from activities.readers.charsets import UnknownCharset, decoded, has_mark, known_charset
from activities.tools.document_text import media_type_of, source_text
from activities.tools.documents import MAX_JSON_BYTES, Fetched, given_as, json_of, reference
from activities.tools.http_exchange import HttpAnswer, HttpRequest
from activities.tools.tool import ToolContext

#: A longer body is kept as a document as well, so that it can be handed on without being copied.
_INLINE_BYTES = 256 * 1024
#: Of the body of an answer that was not expected.
_EXCERPT_CHARACTERS = 1_500
_TEXTS = frozenset(
    {
        *("application/javascript", "application/json", "application/sql", "application/toml", "application/xml"),
        *("application/x-www-form-urlencoded", "application/x-ndjson", "application/jsonl", "application/yaml"),
    }
)


def fetched_of(request: HttpRequest, answer: HttpAnswer) -> Fetched:
    """The body, and what the headers say of it."""
    content = answer.content or b""
    said = Message()
    said["content-type"] = answer.headers.get("content-type", "")
    declared = said.get_content_type() if answer.headers.get("content-type") else ""
    name = request.url.path.rpartition("/")[2] or request.url.host
    charset = said.get_param("charset")
    return Fetched(
        content=content,
        media_type=media_type_of(content, name=name, declared=declared),
        name=name,
        charset=charset if isinstance(charset, str) and known_charset(charset) is not None else None,
    )


async def body_output(
    context: ToolContext, request: HttpRequest, answer: HttpAnswer, *, form: str | None, must_keep: bool
) -> dict[str, Any]:
    """What the body adds to the output: `text`, `json`, `document`, or several, as `form` says.

    Raises DocumentTooLarge or DocumentUnreadable; where something was done, and its answer `must_keep`, the bytes come
    as a document instead, with the `problem`, or the body is `truncated`.
    """
    if answer.content is None:
        if must_keep:
            return {"truncated": True}
        size = int(answer.headers.get("content-length", request.limit_bytes + 1))
        limit = request.limit_bytes
        raise DocumentTooLarge(location=request.url.host, size_bytes=max(size, limit + 1), limit_bytes=limit)
    fetched = fetched_of(request, answer)
    try:
        _refuse_compressed(fetched, answer)
        return {form: await given_as(context, fetched, form)} if form else await _by_itself(context, fetched)
    except (DocumentUnreadable, DocumentTooLarge) as error:
        if not must_keep:
            raise
        return {"document": await reference(context, fetched), "problem": error.message_without_content}


def _refuse_compressed(fetched: Fetched, answer: HttpAnswer) -> None:
    if answer.problem is not None:
        raise DocumentUnreadable(name=fetched.name, reason=answer.problem)


async def _by_itself(context: ToolContext, fetched: Fetched) -> dict[str, Any]:
    """JSON or text where it is that, and a document where it is long, or neither."""
    inline = await _inline(fetched)
    if inline and len(fetched.content) <= _INLINE_BYTES:
        return inline
    return {**inline, "document": await reference(context, fetched)}


async def _inline(fetched: Fetched) -> dict[str, Any]:
    media_type = fetched.media_type
    is_json = media_type == "application/json" or media_type.endswith("+json")
    if is_json and len(fetched.content) > MAX_JSON_BYTES:
        return {}
    try:
        if is_json:
            return {"json": await json_of(fetched)}
    except DocumentUnreadable:
        pass
    try:
        if _is_text(fetched):
            return {
                "text": await source_text(
                    fetched.content, media_type=media_type, name=fetched.name, charset=fetched.charset
                )
            }
    except DocumentUnreadable:
        pass
    return {}


def _is_text(fetched: Fetched) -> bool:
    media_type, content = fetched.media_type, fetched.content
    if b"\x00" in content and not has_mark(content) and not (fetched.charset or "").lower().startswith("utf-"):
        return False
    if media_type.startswith("text/") or media_type.endswith(("+json", "+xml")) or media_type in _TEXTS:
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


async def excerpt(request: HttpRequest, answer: HttpAnswer) -> str | None:
    """The beginning of the body of an answer that was not expected, for people; None when there is no text."""
    fetched = fetched_of(request, answer)
    if not fetched.content or answer.problem is not None or not _is_text(fetched):
        return None
    head = fetched.content[: 4 * _EXCERPT_CHARACTERS]
    try:
        text = await decoded(head, charset=fetched.charset, media_type=fetched.media_type)
    except UnknownCharset:
        return None
    text = text.strip()
    return text[:_EXCERPT_CHARACTERS] + ("…" if len(text) > _EXCERPT_CHARACTERS else "") or None

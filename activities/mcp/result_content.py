"""What an MCP tool gives, as the output of a step: text, structured content, and the rest as blobs.

All of it is a stranger's text. A model sees it only through the policy of the node that shows it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from activities.errors import DocumentTooLarge
from activities.mcp.errors import McpAnswerUnreadable
from activities.tools.tool import ToolContext
from agentflow.digest import canonical_json
from agentflow.large_values import beside_loop, canonical_json_in_pieces
from scl.errors import InvalidSchema, SchemaViolation
from scl.schema_validation import validate_aside

if TYPE_CHECKING:
    from mcp_types import CallToolResult

_BLOB: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "digest": {"type": "string"},
        "media_type": {"type": "string"},
        "size_bytes": {"type": "integer"},
    },
    "required": ["digest", "media_type", "size_bytes"],
}
_REFERENCES = (b'"$ref"', b'"$dynamicRef"')


def output_schema(structured: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of `step_output`, with the tool's own schema of its structured content.

    One that has references, which inside another schema would lead elsewhere, is left out.
    """
    is_kept = structured is not None and not any(name in canonical_json(structured) for name in _REFERENCES)
    return {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "structured": dict(structured) if structured is not None and is_kept else {},
            "blobs": {"type": "array", "items": dict(_BLOB)},
        },
        "required": ["text", "structured", "blobs"],
    }


def text_of(result: "CallToolResult") -> str:
    """All texts of a result; a link to something that is not in it stands in angle brackets."""
    parts: list[str] = []
    for block in result.content:
        if block.type == "text":
            parts.append(block.text)
        elif block.type == "resource":
            text = getattr(block.resource, "text", None)
            if text is not None:
                parts.append(text)
        elif block.type == "resource_link":
            parts.append(f"<{block.uri}>")
    return "\n".join(parts)


async def step_output(
    context: ToolContext, tool: str, result: "CallToolResult", *, declared: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The output of a step that called `tool`; raises DocumentTooLarge or McpAnswerUnreadable.

    Structured content that does not fit what the tool has `declared` is kept as text.
    """
    text, structured, limit = text_of(result), result.structured_content, context.settings.max_document_bytes
    if structured is not None and declared and not await _fits(context, structured, declared):
        both = partial(_all_as_text, text, structured)
        text, structured = await beside_loop(both, on=[text, structured], owner=context.org_id), None
    size_bytes, blobs = len(text.encode(errors="replace")), list[dict[str, Any]]()
    for encoded, media_type in _binaries(result):
        size_bytes += len(encoded) * 3 // 4
        if size_bytes > limit:
            break
        content = _decoded(tool, encoded)
        digest = await context.store(content=content, media_type=media_type)
        blobs.append({"digest": digest, "media_type": media_type, "size_bytes": len(content)})
    if size_bytes > limit:
        raise DocumentTooLarge(location=f"the answer of {tool}", size_bytes=size_bytes, limit_bytes=limit)
    return {"text": text, "structured": structured, "blobs": blobs}


async def _fits(context: ToolContext, structured: Any, declared: Mapping[str, Any]) -> bool:
    try:
        await validate_aside(structured, declared, where="structured content", owner=context.org_id)
    except (SchemaViolation, InvalidSchema):
        # InvalidSchema: to check it would take more steps than it is worth.
        return False
    return True


def _all_as_text(text: str, structured: Any) -> str:
    """`text`, and below it the structured content where it says something else."""
    if _says_the_same(text, structured):
        return text
    said = canonical_json_in_pieces(structured).decode(errors="replace")
    return f"{text}\n{said}" if text else said


def is_step_output(value: Any) -> bool:
    """Whether a value has the form of `step_output`."""
    return isinstance(value, dict) and {"text", "structured", "blobs"} == set(value)


def shown_result(output: Mapping[str, Any]) -> Any:
    """The output of a step as a model is to read it: nothing twice, and no fields that are empty."""
    text, structured, blobs = output["text"], output["structured"], output["blobs"]
    if structured is None and not blobs:
        return text
    shown: dict[str, Any] = {"blobs": blobs} if blobs else {}
    if structured is not None:
        shown["structured"] = structured
    # For clients that do not know structured content, servers say it again as text (specification, "Tool Result").
    if text and not _says_the_same(text, structured):
        shown["text"] = text
    return shown


def _says_the_same(text: str, structured: Any) -> bool:
    try:
        return structured is not None and bool(json.loads(text) == structured)
    except (ValueError, RecursionError):
        return False


def _binaries(result: "CallToolResult") -> list[tuple[str, str]]:
    """Base64 and media type of what is no text."""
    found: list[tuple[str, str]] = []
    for block in result.content:
        if block.type in {"image", "audio"}:
            found.append((block.data, block.mime_type))
        elif block.type == "resource" and (encoded := getattr(block.resource, "blob", None)) is not None:
            found.append((encoded, block.resource.mime_type or "application/octet-stream"))
    return found


def _decoded(tool: str, encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise McpAnswerUnreadable(tool=tool, reason="its binary content is not base64") from None

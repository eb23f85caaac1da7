"""`document.extract_text`: the text of a document that another tool fetched."""

from collections.abc import Mapping
from typing import Any

from activities.tools.document_text import document_text
from activities.tools.tool import Tool, ToolContext
from runs.signatures import StepSignature


async def _extract(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    document = arguments["document"]
    content = await context.load(document["document"])
    found = await document_text(content, media_type=document["media_type"], name=document["name"])
    return {"text": found.text, "page_count": found.page_count}


EXTRACT_TEXT = Tool(
    is_inside=True,
    signature=StepSignature(
        name="document.extract_text",
        description="Reads the text of a PDF or a text file that s3.fetch gave as a document.",
        input_schema={
            "type": "object",
            "properties": {
                "document": {
                    "type": "object",
                    "properties": {
                        "document": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                        "media_type": {"type": "string"},
                        "name": {"type": "string"},
                    },
                    "required": ["document", "media_type", "name"],
                    "description": "The output of s3.fetch with as: document.",
                },
            },
            "required": ["document"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"text": {"type": "string"}, "page_count": {"type": "integer"}},
            "required": ["text", "page_count"],
            "additionalProperties": False,
        },
    ),
    call=_extract,
)

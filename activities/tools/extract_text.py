"""`document.extract_text`: the text of a document that another tool fetched."""

from collections.abc import Mapping
from typing import Any

from activities.tools.document_text import media_type_of, readable_text
from activities.tools.documents import REFERENCE_SCHEMA, dereferenced
from activities.tools.tool import Tool, ToolContext
from runs.signatures import StepSignature


async def _extract(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    given = await dereferenced(context, arguments["document"])
    media_type = media_type_of(given.content, name=given.name, declared=given.media_type)
    found = await readable_text(
        context.readers, given.content, media_type=media_type, name=given.name, charset=given.charset
    )
    return {"text": found.text, "page_count": found.page_count}


EXTRACT_TEXT = Tool(
    is_inside=True,
    signature=StepSignature(
        name="document.extract_text",
        description="Reads the text of a PDF, a Word document (.docx), an HTML page or a text file.",
        input_schema={
            "type": "object",
            "properties": {"document": REFERENCE_SCHEMA},
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

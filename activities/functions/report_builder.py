"""`report_builder`: a title and sections as one Markdown text."""

from collections.abc import Mapping
from typing import Any

from activities.functions.function import Function
from runs.signatures import StepSignature


def build_report(title: str, sections: list[Mapping[str, Any]]) -> str:
    """Markdown: a title, then each section's heading with its text, or with its texts as a numbered list."""
    lines = [f"# {title}"]
    for section in sections:
        lines += ["", f"## {section['heading']}", ""]
        body = section["body"]
        if isinstance(body, list):
            lines += [f"{number}. {' '.join(str(item).split())}" for number, item in enumerate(body, start=1)]
        else:
            lines.append(str(body).strip())
    return "\n".join(lines) + "\n"


def _call(arguments: Mapping[str, Any]) -> Any:
    return {"text": build_report(arguments["title"], arguments["sections"])}


REPORT_BUILDER = Function(
    signature=StepSignature(
        name="report_builder",
        description="Writes a Markdown report of titled sections.",
        input_schema={
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "sections": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "heading": {"type": "string"},
                            "body": {"type": ["string", "array"], "items": {"type": "string"}},
                        },
                        "required": ["heading", "body"],
                        "additionalProperties": False,
                    },
                },
            },
            "required": ["title", "sections"],
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        },
    ),
    call=_call,
)

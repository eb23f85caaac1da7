"""Every tool and function that ships with AgentFlow, by name."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from activities.functions.function import Function
from activities.functions.json_projection import JSON_PROJECTION
from activities.functions.report_builder import REPORT_BUILDER
from activities.functions.result_merger import RESULT_MERGER
from activities.functions.text_splitter import TEXT_SPLITTER
from activities.tools.document_lists import CSV, JSON_DOCUMENT, JSON_LINES
from activities.tools.extract_text import EXTRACT_TEXT
from activities.tools.file_read import FILE_READ
from activities.tools.http_request import HTTP_REQUEST
from activities.tools.records import RECORDS_GET, RECORDS_PUT
from activities.tools.s3_fetch import S3_FETCH
from activities.tools.tool import Tool
from runs.signatures import StepSignature

TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        tool.signature.name: tool
        for tool in (
            *(S3_FETCH, FILE_READ, HTTP_REQUEST, RECORDS_PUT, RECORDS_GET),
            *(EXTRACT_TEXT, JSON_LINES, JSON_DOCUMENT, CSV),
        )
    }
)
FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {function.signature.name: function for function in (TEXT_SPLITTER, RESULT_MERGER, JSON_PROJECTION, REPORT_BUILDER)}
)


def builtin_tools() -> dict[str, StepSignature]:
    """What the compiler knows of the tools."""
    return {name: tool.signature for name, tool in TOOLS.items()}


def builtin_functions() -> dict[str, StepSignature]:
    """What the compiler knows of the functions."""
    return {
        name: replace(function.signature, is_reducer=function.as_item is not None)
        for name, function in FUNCTIONS.items()
    }

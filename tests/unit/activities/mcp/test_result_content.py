from typing import Any

import pytest
from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from activities.mcp.errors import McpAnswerUnreadable
from activities.mcp.result_content import output_schema, shown_result, step_output, text_of
from scl.schema_validation import check_schema, validate
from tests.mcp_server.memory_context import MemoryContext
from tests.watched_list import WatchedList


def test_texts_resources_and_links_are_one_text() -> None:
    result = CallToolResult(
        content=[
            TextContent(text="one"),
            EmbeddedResource(resource=TextResourceContents(uri="file:///two", text="two")),
            ResourceLink(name="three", uri="https://example.com/three"),
        ]
    )

    assert "one\ntwo\n<https://example.com/three>" == text_of(result)


async def test_binary_resources_are_stored_under_their_media_type() -> None:
    resource = BlobResourceContents(uri="file:///a", blob="AAEC")
    context = MemoryContext()

    output = await step_output(context, "t", CallToolResult(content=[EmbeddedResource(resource=resource)]))

    (blob,) = output["blobs"]
    assert (b"\x00\x01\x02", "application/octet-stream") == context.contents[blob["digest"]]


async def test_binary_content_that_is_not_base64_is_told() -> None:
    result = CallToolResult(content=[ImageContent(data="not base64!", mime_type="image/png")])

    with pytest.raises(McpAnswerUnreadable, match="base64"):
        await step_output(MemoryContext(), "t", result)


async def test_an_output_fits_its_schema() -> None:
    structured = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    result = CallToolResult(content=[TextContent(text="x")], structured_content={"n": 1})
    schema = output_schema(structured)

    check_schema(schema)
    validate(await step_output(MemoryContext(), "t", result), schema, where="output")


@pytest.mark.parametrize("kind", ["integer", "string"])
async def test_large_structured_content_is_looked_at_beside_the_loop(kind: str) -> None:
    items = WatchedList([1] * 50_000)
    result = CallToolResult(content=[], structured_content={"items": items})
    declared = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": kind}}}}

    output = await step_output(MemoryContext(), "t", result, declared=declared)

    assert (kind == "integer") == (output["structured"] is not None)
    assert 50_000 <= sum(items.by_thread.values())
    assert 2_000 >= items.here()


async def test_content_whose_check_would_cost_too_much_is_kept_as_text() -> None:
    many_ways: dict[str, Any] = {"$defs": {"0": {"type": "integer"}}, "$ref": "#/$defs/24"}
    for step in range(24):
        many_ways["$defs"][str(step + 1)] = {"allOf": [{"$ref": f"#/$defs/{step}"}] * 2}
    result = CallToolResult(content=[], structured_content=1)

    output = await step_output(MemoryContext(), "t", result, declared=many_ways)

    assert {"text": "1", "structured": None, "blobs": []} == output


@pytest.mark.parametrize(
    ("text", "structured", "blobs", "shown"),
    [
        ("plain", None, [], "plain"),
        ("", None, [], ""),
        ('{"n": 1}', {"n": 1}, [], {"structured": {"n": 1}}),
        ("one", {"n": 1}, [], {"structured": {"n": 1}, "text": "one"}),
        ("a caption", None, [{"digest": "d"}], {"blobs": [{"digest": "d"}], "text": "a caption"}),
    ],
)
def test_a_model_reads_nothing_twice(text: str, structured: Any, blobs: list[Any], shown: Any) -> None:
    assert shown == shown_result({"text": text, "structured": structured, "blobs": blobs})


def test_a_schema_whose_references_would_lead_elsewhere_is_left_out() -> None:
    schema = output_schema({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}})

    check_schema(schema)
    assert {} == schema["properties"]["structured"]

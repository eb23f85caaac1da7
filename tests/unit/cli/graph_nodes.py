"""Nodes to draw."""

from typing import Any

from workflows.graph_view import GraphNode


def drawable(node_id: str, *upstream: str, **changes: Any) -> GraphNode:
    """A function node but for the changes."""
    parts: dict[str, Any] = {"type": "function", "kind": "function", "target": "t", **changes}
    return GraphNode(node_id=node_id, upstream=upstream, **parts)


#: The shape of examples/document_analysis.
ANALYSIS = (
    drawable("ingest", type="tool", kind="tool", target="s3.fetch"),
    drawable("split", "ingest", target="text_splitter"),
    drawable("analyze", "split", type="map", kind="llm", target="analyzer@3", over="split.output.chunks", window=4),
    drawable("summarize", "analyze", type="reduce", kind="llm", target="summarizer@1", over="analyze.output"),
    drawable("report", "summarize", "analyze", target="report_builder", when="size(summarize.output) > 0"),
)

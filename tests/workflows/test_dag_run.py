"""The interpreter on a real Temporal server, sandboxed, with real activities."""

from typing import Any

from runs.plan import NodeState
from tests.workflows.platform import Platform, succeeded


def projection(node_id: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = {"function_name": "json_projection", "inputs": inputs}
    return {"id": node_id, "type": "function", "config": config, **more}


async def test_a_chain_passes_its_values_on(platform: Platform, org_id: str) -> None:
    document = {
        "name": "chain",
        "nodes": [
            projection("first", {"value": "inputs.start"}),
            projection("second", {"value": "first.output.value + 1"}, depends=["first"]),
        ],
        "outputs": {"value": "second.output.value"},
    }

    view = succeeded(await platform.run(org_id, document, {"start": 41}))

    assert {"value": 42} == view.outputs
    assert [NodeState.SUCCEEDED, NodeState.SUCCEEDED] == [node.state for node in view.nodes]


async def test_the_specifications_example_runs(platform: Platform, org_id: str) -> None:
    for template in ("One {{ content }}", "Two {{ content }}", "Three {{ content }}"):
        await platform.prompt(org_id, "document_analyzer", template)
    document = {
        "name": "document_analysis",
        "version": 1,
        "nodes": [
            {
                "id": "ingest",
                "type": "tool",
                "config": {
                    "tool_name": "s3.fetch",
                    "tool_args": {"bucket": "documents", "key": "{{document_key}}"},
                },
            },
            {
                "id": "analyze",
                "type": "llm",
                "config": {"prompt_ref": "document_analyzer@3", "inputs": {"content": "ingest.output"}},
                "policy": {"quality": "Gold", "sla_ms": 30000},
            },
        ],
        "edges": [{"from": "ingest", "to": "analyze"}],
        "outputs": {"analysis": "analyze.output"},
    }

    view = succeeded(await platform.run(org_id, document, {"document_key": "letter.txt"}, budget=10_000_000))

    assert view.outputs is not None
    assert str(view.outputs["analysis"]).startswith("echo ")
    assert {"EMAIL": 1, "PHONE": 1} == view.pii
    request = platform.provider.requests[-1].body
    assert "ada@example.com" not in str(request)
    assert view.run.cost_micro_usd > 0

"""Workflow documents and prompts that the API's tests register."""

import asyncio
from typing import Any

import httpx

DEADLINE_SECONDS = 60.0

#: The specification's own document, word for word.
SPECIFICATION_YAML = """\
name: document_analysis
version: 1
nodes:
  - id: ingest
    type: tool
    config:
      tool_name: s3.fetch
      tool_args:
        bucket: documents
        key: "{{document_key}}"
  - id: analyze
    type: llm
    config:
      prompt_ref: document_analyzer@3
      inputs:
        content: "ingest.output"
    policy:
      quality: Gold
      sla_ms: 30000
edges:
  - from: ingest
    to: analyze
"""

CONTENT_SCHEMA = {"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]}

#: One llm node, whose answer the scripted vendor gives.
TALK = {
    "name": "talk",
    "nodes": [
        {"id": "say", "type": "llm", "config": {"prompt_ref": "speaker@1", "inputs": {"content": "inputs.topic"}}}
    ],
    "outputs": {"said": "say.output"},
}


def echo_document(name: str = "echo", version: int = 1) -> dict[str, Any]:
    """A workflow that gives its input `value` back, without a model."""
    config = {"function_name": "json_projection", "inputs": {"value": "inputs.value"}}
    nodes = [{"id": "show", "type": "function", "config": config}]
    return {"name": name, "version": version, "nodes": nodes, "outputs": {"value": "show.output.value"}}


async def register_echo(api: httpx.AsyncClient, name: str = "echo", version: int = 1) -> None:
    answer = await api.post("/api/v1/workflows", json=echo_document(name, version))
    assert 201 == answer.status_code, answer.text


async def register_talk(api: httpx.AsyncClient) -> None:
    prompt = {"name": "speaker", "template": "Say something of {{ content }}", "schema": CONTENT_SCHEMA}
    assert 201 == (await api.post("/api/v1/prompts", json=prompt)).status_code
    answer = await api.post("/api/v1/workflows", json=TALK)
    assert 201 == answer.status_code, answer.text


async def submit(api: httpx.AsyncClient, name: str = "echo", **inputs: Any) -> dict[str, Any]:
    """A run as the API answers to its submission."""
    answer = await api.post("/api/v1/workflows/runs", json={"workflow_name": name, "inputs": inputs})
    assert 201 == answer.status_code, answer.text
    run: dict[str, Any] = answer.json()
    return run


async def ended(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The run once it has ended."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            answer = await api.get(f"/api/v1/workflows/runs/{run_id}")
            assert 200 == answer.status_code, answer.text
            run: dict[str, Any] = answer.json()
            if run["state"] in {"succeeded", "failed", "cancelled"}:
                return run
            await asyncio.sleep(0.05)


async def complete_trace(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The trace of a run once the run's own span is in it."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            trace: dict[str, Any] = (await api.get(f"/api/v1/traces/{run_id}")).json()
            if trace.get("is_complete"):
                return trace
            await asyncio.sleep(0.05)


async def whole_list(api: httpx.AsyncClient, path: str, *, limit: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Every item of a list, page by page, and how many each page had."""
    items: list[dict[str, Any]] = []
    sizes: list[int] = []
    cursor: str | None = None
    while not sizes or cursor is not None:
        wanted = {"limit": limit} | ({"cursor": cursor} if cursor is not None else {})
        answer = await api.get(path, params=wanted)
        assert 200 == answer.status_code, answer.text
        page = answer.json()
        items += page["items"]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
        assert len(sizes) < 50
    return items, sizes

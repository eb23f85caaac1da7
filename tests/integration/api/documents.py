"""Workflow documents and prompts that the API's tests register."""

from typing import Any

import httpx

from tests.workflows.platform import until

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

    async def look() -> dict[str, Any] | None:
        answer = await api.get(f"/api/v1/workflows/runs/{run_id}")
        assert 200 == answer.status_code, answer.text
        run: dict[str, Any] = answer.json()
        return run if run["state"] in {"succeeded", "failed", "cancelled"} else None

    return await until(look)


async def opened_approval(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The approval that a run waits for."""

    async def listed() -> list[dict[str, Any]]:
        answer = await api.get("/api/v1/approvals", params={"run_id": run_id})
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    return (await until(listed))[0]


async def complete_trace(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The trace of a run once the run's own span is in it."""

    async def look() -> dict[str, Any] | None:
        trace: dict[str, Any] = (await api.get(f"/api/v1/traces/{run_id}")).json()
        return trace if trace.get("is_complete") else None

    return await until(look)


async def whole_list(
    api: httpx.AsyncClient, path: str, *, limit: int, **query: str
) -> tuple[list[dict[str, Any]], list[int]]:
    """Every item of a list, page by page, and how many each page had."""
    items: list[dict[str, Any]] = []
    sizes: list[int] = []
    cursor: str | None = None
    while not sizes or cursor is not None:
        wanted: dict[str, int | str] = {"limit": limit, **query}
        if cursor is not None:
            wanted["cursor"] = cursor
        answer = await api.get(path, params=wanted)
        assert 200 == answer.status_code, answer.text
        page = answer.json()
        items += page["items"]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
        assert len(sizes) < 50
    return items, sizes

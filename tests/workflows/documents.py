"""Short ways to write workflow documents in tests."""

from collections.abc import Mapping
from typing import Any

Node = dict[str, Any]


def function(node_id: str, name: str, inputs: Mapping[str, Any], **more: Any) -> Node:
    return {"id": node_id, "type": "function", "config": {"function_name": name, "inputs": dict(inputs)}, **more}


def projection(node_id: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> Node:
    return function(node_id, "json_projection", inputs or {}, **more)


def code(source: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "code", "config": {"language": "javascript", "source": source, "inputs": dict(inputs)}}


def llm(node_id: str, content: str, *, prompt: str = "ask@1", **more: Any) -> Node:
    """An llm node; `config` in `more` adds to its configuration."""
    config = {"prompt_ref": prompt, "inputs": {"content": content}, **more.pop("config", {})}
    return {"id": node_id, "type": "llm", "config": config, **more}


def agent(node_id: str, content: str, *tools: str, prompt: str = "ask@1", **more: Any) -> Node:
    """An agent node; `config` in `more` adds to its configuration."""
    config = {
        "prompt_ref": prompt,
        "inputs": {"content": content},
        "tools": list(tools),
        **more.pop("config", {}),
    }
    return {"id": node_id, "type": "agent", "config": config, **more}


def llm_map(node_id: str, over: str, *, window: int = 4, prompt: str = "ask@1", **more: Any) -> Node:
    body = {"type": "llm", "config": {"prompt_ref": prompt, "inputs": {"content": "item"}, **more.pop("config", {})}}
    return {"id": node_id, "type": "map", "config": {"over": over, "window": window, "body": body}, **more}


def function_map(node_id: str, over: str, inputs: Mapping[str, Any], **more: Any) -> Node:
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": dict(inputs)}}
    return {"id": node_id, "type": "map", "config": {"over": over, "body": body}, **more}


def large_map(
    node_id: str, over: str, inputs: Mapping[str, Any], *, depends: list[str] | None = None, **config: Any
) -> Node:
    """A map of `json_projection` whose configuration has what is named."""
    body = {"type": "function", "config": {"function_name": "json_projection", "inputs": dict(inputs)}}
    return {"id": node_id, "type": "map", "depends": depends or [], "config": {"over": over, "body": body, **config}}


def dag(
    name: str, *nodes: Node, outputs: Mapping[str, Any] | None = None, final: list[Node] | None = None, **more: Any
) -> dict[str, Any]:
    last = {"finally": final} if final is not None else {}
    return {"name": name, "nodes": list(nodes), "outputs": dict(outputs or {}), **last, **more}


#: Transport failures are tried again almost at once.
QUICK_RETRY = {"attempts": 3, "initial": 0.05, "max": 0.1}

"""Runs and nodes as the API answers them."""

from typing import Any

from agentflow.client_types import RunDocument, RunNodeDocument


def node_document(node_id: str, **changes: Any) -> RunNodeDocument:
    """A function node that has not begun, but for the changes."""
    node: RunNodeDocument = {
        "id": node_id,
        "type": "function",
        "kind": "function",
        "depends": [],
        "state": "pending",
        "items_total": None,
        "items_done": None,
        "items_failed": None,
        "started_at": None,
        "finished_at": None,
        "duration_seconds": None,
        "attempts": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_micro_usd": 0,
        "models": [],
        "cache_hits": 0,
        "pii": {},
        "reused": False,
        "runs_below": 0,
        "turns": None,
        "tool_calls": None,
        "in_doubt": 0,
        "compensation": None,
        "error": None,
    }
    return {**node, **changes}  # type: ignore[typeddict-item]  # the changes are a test's own


def run_document(*nodes: RunNodeDocument, **changes: Any) -> RunDocument:
    """A run under way, but for the changes."""
    run: RunDocument = {
        "run_id": "run_1",
        "workflow_name": "analysis",
        "workflow_version": 2,
        "state": "running",
        "created_at": "2026-01-02T03:04:05.678+00:00",
        "started_at": "2026-01-02T03:04:06+00:00",
        "finished_at": None,
        "cancel_requested_at": None,
        "budget_cents": None,
        "cost_cents": 0,
        "cost_micro_usd": 0,
        "trace_id": "0123456789abcdef0123456789abcdef",
        "temporal_ui_url": None,
        "rerun_of": None,
        "parent_run_id": None,
        "parent_node_id": None,
        "paused_at": None,
        "error": None,
        "inputs": {},
        "outputs": None,
        "nodes": list(nodes),
        "pii": {},
        "input_tokens": 0,
        "output_tokens": 0,
        "in_doubt": 0,
        "queue_place": None,
        "waiting": [],
        "held_micro_usd": 0,
        "uncertain_micro_usd": 0,
    }
    return {**run, **changes}  # type: ignore[typeddict-item]  # the changes are a test's own

"""A run as text: its facts, and its nodes as a tree; pure, shared by `status`, `watch` and the demo."""

from collections.abc import Mapping

from agentflow.client_types import RunDocument, RunNodeDocument
from agentflow.money import MicroUsd, format_usd
from cli.output import cents, facts, local_time, printable
from observability.analysis.trace_text import format_count, format_duration

SYMBOLS: Mapping[str, str] = {
    "pending": "·",
    "running": "▶",
    "succeeded": "✓",
    "failed": "✗",
    "skipped": "↷",
    "cancelled": "⊘",
}


def run_facts(run: RunDocument) -> str:
    """What there is to say of the run as a whole."""
    error = run["error"]
    where = f"node {error['node_id']}: " if error and error["node_id"] else ""
    budget = cents(run["budget_cents"])
    cost = format_usd(MicroUsd(run["cost_micro_usd"]))
    return facts(
        {
            "Run": run["run_id"],
            "Workflow": f"{run['workflow_name']} version {run['workflow_version']}",
            "State": run["state"],
            "Error": f"{error['code']}: {where}{error['message']}" if error else None,
            "Created": local_time(run["created_at"]),
            "Ended": local_time(run["finished_at"]),
            "Cost": f"{cost} of {budget}" if budget else cost,
            "Tokens": f"{run['input_tokens']:,} in, {run['output_tokens']:,} out",
            "PII tokenised": pii_text(run["pii"]) or None,
            "Trace": run["trace_id"],
            "Temporal": run["temporal_ui_url"],
        }
    )


def pii_text(pii: Mapping[str, int]) -> str:
    """`EMAIL 3, PHONE 2`."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(pii.items()))


def node_lines(run: RunDocument) -> list[str]:
    """The nodes in document order, each with state, duration, tokens and cost."""
    width = max((len(_title(node)) for node in run["nodes"]), default=0)
    lines = []
    for node in run["nodes"]:
        line = f"{SYMBOLS[node['state']]} {_title(node):<{width}}  {_figures(node)}".rstrip()
        lines.append(line)
        if node["error"] and node["state"] == "failed":
            lines.append(f"    {node['error']['code']}: {printable(node['error']['message'])}")
    return lines


def node_event(node: RunNodeDocument) -> str:
    """One line about a node that changed, where there is no terminal to draw a tree on."""
    return f"{node['state']:<9}  {_title(node)}  {_figures(node)}".rstrip()


def _title(node: RunNodeDocument) -> str:
    items = f" {node['items_done']}/{node['items_total']}" if node["items_total"] is not None else ""
    kind = node["type"] if node["type"] == node["kind"] else f"{node['type']} of {node['kind']}"
    return f"{node['id']} ({kind}){items}"


def _figures(node: RunNodeDocument) -> str:
    duration = f"{format_duration(node['duration_seconds']):>7}" if node["duration_seconds"] is not None else " " * 7
    tokens = cost = ""
    if node["input_tokens"] or node["output_tokens"]:
        tokens = f"{format_count(node['input_tokens'])}/{format_count(node['output_tokens'])} tokens"
    if node["cost_micro_usd"]:
        cost = format_usd(MicroUsd(node["cost_micro_usd"]))
    extras = []
    if node["attempts"] > 1:
        extras.append(f"{node['attempts']} attempts")
    if node["cache_hits"]:
        extras.append(f"{node['cache_hits']} from cache")
    return f"{duration}  {tokens:<18} {cost:<10} {', '.join(extras)}"

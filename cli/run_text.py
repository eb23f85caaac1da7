"""A run as text: its facts, and its nodes as a tree; pure, shared by `status`, `watch` and the demo."""

from collections.abc import Iterator, Mapping

from agentflow.client_types import RunDocument, RunErrorDocument, RunNodeDocument
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


_COMPENSATIONS: Mapping[str, str] = {
    "running": "being taken back",
    "succeeded": "taken back",
    "failed": "not taken back: that failed",
    "cancelled": "not taken back: that was cancelled",
    "in_doubt": "taken back or not",
}


def run_facts(run: RunDocument) -> str:
    """What there is to say of the run as a whole."""
    error = run["error"]
    budget = cents(run["budget_cents"])
    cost = format_usd(MicroUsd(run["cost_micro_usd"]))
    return facts(
        {
            "Run": run["run_id"],
            "Workflow": f"{run['workflow_name']} version {run['workflow_version']}",
            "State": state_text(run),
            "Error": f"{error['code']}: {_where(error)}{error['message']}" if error else None,
            "Look at it": _step_command(run),
            "Failed items": _failed_items(run) or None,
            "Paused": local_time(run["paused_at"]),
            "In doubt": _in_doubt(run) or None,
            "Repeats": run["rerun_of"],
            "Below": f"node {run['parent_node_id']} of {run['parent_run_id']}" if run["parent_run_id"] else None,
            "Created": local_time(run["created_at"]),
            "Ended": local_time(run["finished_at"]),
            "Cost": f"{cost} of {budget}" if budget else cost,
            "Perhaps more": _uncertain_money(run),
            "Tokens": f"{run['input_tokens']:,} in, {run['output_tokens']:,} out",
            "PII tokenised": pii_text(run["pii"]) or None,
            "Trace": run["trace_id"],
            "Temporal": run["temporal_ui_url"],
        }
    )


def _where(error: RunErrorDocument) -> str:
    """`node each, item 3: `; what the message says already is left out."""
    node, item = error["node_id"], error.get("item_index")
    is_told = item is None or error["message"].startswith(f"item {item}:")
    parts = [f"node {node}" if node else None, None if is_told else f"item {item}"]
    where = ", ".join(part for part in parts if part is not None)
    return f"{where}: " if where else ""


def _step_command(run: RunDocument) -> str | None:
    """The command that shows what happened at the step that the run failed at."""
    error = run["error"]
    if error is None or not error["node_id"]:
        return None
    item = error.get("item_index")
    command = f"agentctl workflow step {run['run_id']} {error['node_id']}"
    return command if item is None else f"{command} --item {item}"


def _failed_items(run: RunDocument) -> str:
    """How many items of which maps failed, tolerated or not, and the command that lists them."""
    lines = [
        f"{node['items_failed']:,} of {node['items_total']:,} of {node['id']}"
        f": agentctl workflow steps {run['run_id']} {node['id']} --failed"
        for node in run["nodes"]
        if node["items_failed"] and node["items_total"] is not None and not node["reused"]
    ]
    return "; ".join(lines)


def _uncertain_money(run: RunDocument) -> str | None:
    """What may come to the cost: of an ended run all that is still set aside."""
    ended = run["finished_at"] is not None
    uncertain = run["uncertain_micro_usd"] + (run["held_micro_usd"] if ended else 0)
    held = 0 if ended else run["held_micro_usd"]
    parts = [
        f"{format_usd(MicroUsd(held))} set aside for calls under way" if held else None,
        f"{format_usd(MicroUsd(uncertain))} may also be billed, for calls whose end nobody knows"
        if uncertain
        else None,
    ]
    return "; ".join(part for part in parts if part is not None) or None


def _in_doubt(run: RunDocument) -> str:
    if not run["in_doubt"]:
        return ""
    steps = "1 step" if run["in_doubt"] == 1 else f"{run['in_doubt']} steps"
    if run["finished_at"] is not None:
        return f"{steps} may have been performed or not; nobody has said which"
    return f"{steps} may have been performed or not: agentctl approval list --run {run['run_id']}"


def state_text(run: RunDocument) -> str:
    """`running`, or `queued, number 3 in line` of a run that waits for its turn."""
    place = run["queue_place"]
    return run["state"] if place is None else f"queued, number {place:,} in line"


def pii_text(pii: Mapping[str, int]) -> str:
    """`EMAIL 3, PHONE 2`."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(pii.items()))


def node_lines(run: RunDocument) -> list[str]:
    """The nodes as a tree, each below the latest that it waits for, with state, duration, tokens and cost."""
    placed = list(_tree(run["nodes"]))
    labels = [f"{lead}{SYMBOLS[node['state']]} {_title(node)}" for lead, _, node in placed]
    width = max(map(len, labels), default=0)
    lines = []
    for label, (_, guide, node) in zip(labels, placed, strict=True):
        lines.append(f"{label:<{width}}  {_figures(node)}".rstrip())
        error = node["error"]
        if error and (node["state"] == "failed" or node["items_failed"]):
            item = "" if error.get("item_index") is None else f"item {error.get('item_index')}: "
            lines.append(f"{guide}    {item}{error['code']}: {printable(error['message'])}")
    return lines


def _tree(nodes: list[RunNodeDocument]) -> Iterator[tuple[str, str, RunNodeDocument]]:
    """What stands before a node's line, what before the lines under it, and the node."""
    depths = _depths(nodes)
    children: dict[str | None, list[RunNodeDocument]] = {}
    for node in nodes:
        # Of several that are as deep, the one that is named last.
        parent = max(reversed(node["depends"]), key=depths.__getitem__, default=None)
        children.setdefault(parent, []).append(node)
    pending = [("", "", node) for node in reversed(children.get(None, []))]
    while pending:
        lead, guide, node = pending.pop()
        yield lead, guide, node
        below = children.get(node["id"], [])
        for number in range(len(below) - 1, -1, -1):
            branch, rest = ("└─ ", "   ") if number == len(below) - 1 else ("├─ ", "│  ")
            pending.append((guide + branch, guide + rest, below[number]))


def _depths(nodes: list[RunNodeDocument]) -> dict[str, int]:
    """Node → the length of the longest way to it; a compiled workflow has no circle."""
    upstream = {node["id"]: node["depends"] for node in nodes}
    depths: dict[str, int] = {}
    pending = list(upstream)
    while pending:
        missing = [before for before in upstream[pending[-1]] if before not in depths]
        if missing:
            pending.extend(missing)
            continue
        node_id = pending.pop()
        depths[node_id] = 1 + max((depths[before] for before in upstream[node_id]), default=0)
    return depths


def node_event(node: RunNodeDocument) -> str:
    """One line about a node that changed, where there is no terminal to draw a tree on."""
    return f"{node['state']:<9}  {_title(node)}  {_figures(node)}".rstrip()


def _title(node: RunNodeDocument) -> str:
    items = f" {node['items_done']}/{node['items_total']}" if node["items_total"] is not None else ""
    if node["items_failed"]:
        items += f", {node['items_failed']} failed"
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
    if node["reused"]:
        extras.append("taken over")
    if node["runs_below"]:
        extras.append(f"{node['runs_below']} run{'s' if node['runs_below'] > 1 else ''} below")
    if node["turns"] is not None:
        extras.append(f"{_counted(node['turns'], 'turn')}, {_counted(node['tool_calls'] or 0, 'tool call')}")
    if node["in_doubt"]:
        extras.append(f"{node['in_doubt']} in doubt")
    if node["compensation"]:
        extras.append(_COMPENSATIONS[node["compensation"]])
    if node["cache_hits"]:
        extras.append(f"{node['cache_hits']} from cache")
    return f"{duration}  {tokens:<18} {cost:<10} {', '.join(extras)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""What Temporal's Web UI shows of a run besides its history: where its nodes stand, as Markdown."""

from collections import Counter
from collections.abc import Mapping

from runs.plan import NodeState

#: Of larger runs, those of whom there is most to say; the rest is counted.
_MAX_NODES = 50
#: Most to be told first.
_ORDER = (
    NodeState.FAILED,
    NodeState.RUNNING,
    NodeState.CANCELLED,
    NodeState.PENDING,
    NodeState.SUCCEEDED,
    NodeState.SKIPPED,
)


def details_of(
    run_id: str,
    states: Mapping[str, NodeState],
    items_done: Mapping[str, int],
    *,
    failure: str | None,
    is_paused: bool,
) -> str:
    """The states of the nodes, what they came to, and where there is more; `failure` quotes no content."""
    counts = Counter(states.values())
    told = ", ".join(f"{counts[state]} {state.value}" for state in _ORDER if counts[state])
    head = f"**{len(states)} nodes**: {told}" if states else "The run is being opened."
    lines = [f"{head}{'; **paused**' if is_paused else ''}", ""]
    if failure is not None:
        lines += [f"**{failure}**", ""]
    shown = sorted(states, key=lambda node_id: _ORDER.index(states[node_id]))[:_MAX_NODES]
    lines += [f"- `{node_id}`: {states[node_id].value}{_items(items_done.get(node_id))}" for node_id in shown]
    if len(states) > len(shown):
        lines.append(f"- and {len(states) - len(shown)} more")
    return "\n".join([*lines, "", f"More: `agentctl workflow status {run_id}`"])


def _items(done: int | None) -> str:
    return f", {done:,} items done" if done is not None else ""

"""Following a run from the command line, and showing it when it has ended."""

import json
from typing import TYPE_CHECKING, Any

from cli.exit_codes import exit_code_of_run
from cli.output import Format, show
from cli.waiting_gates import WaitingGates

if TYPE_CHECKING:
    from agentflow.client import AgentflowClient
    from agentflow.client_types import RunDocument


def follow(client: "AgentflowClient", run_id: str, timeout: float | None, output: Format) -> int:
    """Follows a run until it has ended, shows it, and gives the exit code that says how."""
    from cli.run_progress import following

    gates = WaitingGates(client)
    with following() as follower:

        def look(run: "RunDocument") -> None:
            follower(run)
            gates.look(run)

        run = client.wait(run_id, timeout_seconds=timeout, on_update=look)
    show(run, output, lambda: run_text(run))
    return exit_code_of_run(run["state"])


def run_text(run: "RunDocument") -> str:
    """A run for people: its facts, its nodes, its outputs."""
    from cli.run_text import node_lines, run_facts

    parts = [run_facts(run), "", *node_lines(run)]
    if run["outputs"]:
        parts += ["", *(f"{name}:\n{_value_text(value)}" for name, value in run["outputs"].items())]
    return "\n".join(parts)


def _value_text(value: Any) -> str:
    from cli.output import printable

    return printable(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))

"""Tells who follows a run what it waits for from a person, and the command that decides it."""

from typing import TYPE_CHECKING

import click

from cli.output import printable

if TYPE_CHECKING:
    from agentflow.client import AgentflowClient
    from agentflow.client_types import ApprovalDocument, RunDocument


class WaitingGates:
    """Looks for approvals and steps in doubt once nodes wait for them; tells each once, on standard error."""

    def __init__(self, client: "AgentflowClient") -> None:
        self._client = client
        self._told: dict[str, str] = {}

    def look(self, run: "RunDocument") -> None:
        """Asks the server only while something waits that has not been told."""
        told = list(self._told.values())
        waiting = [
            node["id"]
            for node in run["nodes"]
            if node["state"] == "running"
            and ((node["type"] == "approval" and node["id"] not in told) or node["in_doubt"] > told.count(node["id"]))
        ]
        if not waiting:
            return
        from agentflow.client import ApiRequestFailed, ApiUnreachable

        try:
            found = self._client.list_approvals(run_id=run["run_id"], limit=200)["items"]
        except (ApiRequestFailed, ApiUnreachable):
            # Whoever follows the run deals with a server that is away; the next look asks again.
            return
        for approval in found:
            if approval["approval_id"] not in self._told:
                self._told[approval["approval_id"]] = approval["node_id"]
                click.echo(gate_text(approval), err=True)


def gate_text(approval: "ApprovalDocument") -> str:
    """What waits, and how it is decided."""
    gate = approval["approval_id"]
    said = printable(approval["message"])
    if approval["kind"] == "approval":
        decide = f"agentctl approval approve {gate}   (or reject; show {gate} has what is to be approved)"
        return f"{approval['node_id']} waits for a decision: {said}\n  {decide}"
    decide = f"agentctl approval resolve {gate} --performed   (or --not-performed, --fail; see show {gate})"
    return f"{approval['node_id']} is in doubt: {said}\n  {decide}"

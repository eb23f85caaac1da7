"""Tells who follows a run what it waits for from a person, and the command that decides it."""

from typing import TYPE_CHECKING

import click

from cli.output import printable

if TYPE_CHECKING:
    from agentflow.client import AgentflowClient
    from agentflow.client_types import ApprovalDocument, RunDocument


class WaitingGates:
    """Looks for approvals and steps in doubt once the run waits for them; tells each once, on standard error."""

    def __init__(self, client: "AgentflowClient") -> None:
        self._client = client
        self._told: set[str] = set()

    def look(self, run: "RunDocument") -> None:
        """Asks the server only while something waits that has not been told, in the run or in those below it."""
        if self._told.issuperset(run["waiting"]):
            return
        from agentflow.client import ApiRequestFailed, ApiUnreachable

        try:
            found = self._client.list_approvals(run_id=run["run_id"], limit=200)["items"]
        except (ApiRequestFailed, ApiUnreachable):
            # Whoever follows the run deals with a server that is away; the next look asks again.
            return
        for approval in found:
            if approval["approval_id"] not in self._told:
                self._told.add(approval["approval_id"])
                is_below = approval["run_id"] != run["run_id"]
                where = f"in run {approval['run_id']} below, " if is_below else ""
                click.echo(f"{where}{gate_text(approval)}", err=True)


def gate_text(approval: "ApprovalDocument") -> str:
    """What waits, and how it is decided."""
    gate = approval["approval_id"]
    said = printable(approval["message"])
    if approval["kind"] == "approval":
        decide = f"agentctl approval approve {gate}   (or reject; show {gate} has what is to be approved)"
        return f"{approval['node_id']} waits for a decision: {said}\n  {decide}"
    decide = f"agentctl approval resolve {gate} --performed   (or --not-performed, --fail; see show {gate})"
    return f"{approval['node_id']} is in doubt: {said}\n  {decide}"

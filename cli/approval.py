"""`agentctl approval`: what people are to decide."""

import json
from typing import TYPE_CHECKING, Any

import click

from cli.connection import connect
from cli.output import Format, facts, local_time, next_page_hint, output_option, page_options, printable, show, table

if TYPE_CHECKING:
    from agentflow.client_types import ApprovalDetailDocument, ApprovalDocument


@click.group("approval")
def approval() -> None:
    """See what waits for a decision, and decide it."""


@approval.command("list")
@click.option("--closed", is_flag=True, help="List what is over instead.")
@click.option("--run", "run_id", metavar="RUN_ID", help="Of this run only.")
@page_options
@output_option
@click.pass_context
def list_(
    context: click.Context, *, closed: bool, run_id: str | None, limit: int, cursor: str | None, output: Format
) -> None:
    """List what waits for a decision."""
    with connect(context) as client:
        page = client.list_approvals(state="closed" if closed else "open", run_id=run_id, limit=limit, cursor=cursor)
    show(page, output, lambda: _table(page["items"]))
    next_page_hint(page["next_cursor"])


@approval.command("show")
@click.argument("approval_id")
@output_option
@click.pass_context
def show_(context: click.Context, *, approval_id: str, output: Format) -> None:
    """Show what is to be approved."""
    with connect(context) as client:
        found = client.get_approval(approval_id)
    show(found, output, lambda: _text(found))


@approval.command("approve")
@click.argument("approval_id")
@click.option("--comment", help="Kept with the decision, and given to the nodes after it.")
@click.option("--digest", metavar="SHA256", help="Of what you looked at.  [default: what there is now]")
@output_option
@click.pass_context
def approve(
    context: click.Context, *, approval_id: str, comment: str | None, digest: str | None, output: Format
) -> None:
    """Say yes."""
    _decide(context, approval_id, comment, digest, output, approve=True)


@approval.command("reject")
@click.argument("approval_id")
@click.option("--comment", help="Kept with the decision, and given to the nodes after it.")
@click.option("--digest", metavar="SHA256", help="Of what you looked at.  [default: what there is now]")
@output_option
@click.pass_context
def reject(
    context: click.Context, *, approval_id: str, comment: str | None, digest: str | None, output: Format
) -> None:
    """Say no."""
    _decide(context, approval_id, comment, digest, output, approve=False)


def _decide(
    context: click.Context, approval_id: str, comment: str | None, digest: str | None, output: Format, *, approve: bool
) -> None:
    with connect(context) as client:
        subject_digest = digest or client.get_approval(approval_id)["subject_digest"]
        decided = client.decide(approval_id, approve=approve, subject_digest=subject_digest, comment=comment)
    verb = "approved" if approve else "rejected"
    show(decided, output, lambda: f"{approval_id} is {verb}; run {decided['run_id']} goes on")


def _table(items: list["ApprovalDocument"]) -> str:
    rows = [
        (
            item["approval_id"],
            item["run_id"],
            item["node_id"],
            item["state"],
            local_time(item["due_at"]) or "",
            printable(item["message"]),
        )
        for item in items
    ]
    return table(("APPROVAL", "RUN", "NODE", "STATE", "DUE", "MESSAGE"), rows)


def _text(found: "ApprovalDetailDocument") -> str:
    heading = facts(
        {
            "Approval": found["approval_id"],
            "Run": f"{found['run_id']}, node {found['node_id']}",
            "State": found["state"],
            "Approvers": ", ".join(found["approvers"]) or "everyone with a key",
            "Due": local_time(found["due_at"]),
            "Decided": f"by {found['decided_by']}" if found["decided_by"] else None,
            "Comment": found["comment"],
            "Digest": found["subject_digest"],
        }
    )
    return f"{heading}\n\n{printable(found['message'])}\n\n{_value(found['show'])}"


def _value(value: Any) -> str:
    return printable(json.dumps(value, indent=2, ensure_ascii=False))

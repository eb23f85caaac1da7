"""`agentctl approval`: what people are to decide."""

import json
from typing import TYPE_CHECKING, Any

import click

from cli.connection import connect
from cli.output import Format, facts, local_time, next_page_hint, output_option, page_options, printable, show, table
from cli.workflow_files import read_json_file

if TYPE_CHECKING:
    from agentflow.client_types import ApprovalDetailDocument, ApprovalDocument


@click.group("approval")
def approval() -> None:
    """See what waits for a decision, and decide it."""


@approval.command("list")
@click.option("--closed", is_flag=True, help="List what is over instead.")
@click.option("--run", "run_id", metavar="RUN_ID", help="Of this run and those below it only.")
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


@approval.command("resolve")
@click.argument("approval_id")
@click.option("--performed", "resolution", flag_value="performed", help="It did happen; the run goes on.")
@click.option("--not-performed", "resolution", flag_value="not_performed", help="It did not; it is performed again.")
@click.option("--fail", "resolution", flag_value="fail", help="Give the step up, whatever became of it.")
@click.option(
    "--output", "output_file", metavar="FILE", help="With --performed: JSON, the step's output.  [default: null]"
)
@click.option("--comment", help="Kept with the resolution.")
@click.option("--digest", metavar="SHA256", help="Of what you looked at.  [default: what there is now]")
@click.option(
    "-o",
    "--format",
    "output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.pass_context
def resolve(
    context: click.Context,
    *,
    approval_id: str,
    resolution: str | None,
    output_file: str | None,
    comment: str | None,
    digest: str | None,
    output: Format,
) -> None:
    """Say what became of a step in doubt."""
    if resolution is None:
        raise click.UsageError("say what became of it: --performed, --not-performed or --fail")
    if output_file is not None and resolution != "performed":
        raise click.UsageError("--output is the output of a step that was --performed")
    given = read_json_file(output_file, option="--output") if output_file is not None else None
    with connect(context) as client:
        resolved = client.resolve_doubt(
            approval_id,
            resolution=resolution,
            output=given,
            subject_digest=digest or client.get_approval(approval_id)["subject_digest"],
            comment=comment,
        )
    verb = {"performed": "was performed", "not_performed": "is performed again", "fail": "is given up"}[resolution]
    show(resolved, output, lambda: f"{approval_id}: the step {verb}; run {resolved['run_id']} goes on")


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
            _step(item),
            item["kind"],
            item["state"],
            local_time(item["due_at"]) or "",
            printable(item["message"]),
        )
        for item in items
    ]
    return table(("APPROVAL", "RUN", "NODE", "KIND", "STATE", "DUE", "MESSAGE"), rows)


def _step(item: "ApprovalDocument") -> str:
    """`send`, or `send[3]` for the one item of a map that it is about."""
    return item["node_id"] if item["item_index"] is None else f"{item['node_id']}[{item['item_index']}]"


def _text(found: "ApprovalDetailDocument") -> str:
    heading = facts(
        {
            "Approval": found["approval_id"],
            "Run": f"{found['run_id']}, node {_step(found)}",
            "Kind": found["kind"],
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

"""`agentctl workflow rerun`: a finished run again, from any node, paying only for what must be done again."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.connection import connect
from cli.exit_codes import ExitCode
from cli.output import Format, output_option, show, table
from cli.run_following import follow
from cli.workflow_files import read_document

if TYPE_CHECKING:
    from agentflow.client_types import RerunPreviewDocument

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.command("rerun")
@click.argument("run_id")
@click.option(
    "--from", "from_nodes", multiple=True, metavar="NODE", help="Run this node again, and what comes after it."
)
@click.option("--failed-only", is_flag=True, help="Refuse to run anything again that succeeded.")
@click.option("--failed-items", is_flag=True, help="Run items again that failed and were tolerated.")
@click.option(
    "--set", "settings", multiple=True, metavar="PATH=VALUE", help="Change an input; VALUE is JSON, or else a text."
)
@click.option("--spec", "spec", type=_FILE, help="Run this edited document; it need not be registered.")
@click.option("--budget", type=click.IntRange(0), metavar="CENTS", help="In US cents.  [default: the earlier run's]")
@click.option("--dry-run", is_flag=True, help="Show what would be taken over and what it would cost; start nothing.")
@click.option("--idempotency-key", help="Starting twice with one key gives one run.")
@click.option("--wait", is_flag=True, help="Follow the run and return when it has ended.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="With --wait: how long.")
@output_option
@click.pass_context
def rerun(
    context: click.Context,
    *,
    run_id: str,
    from_nodes: tuple[str, ...],
    failed_only: bool,
    failed_items: bool,
    settings: tuple[str, ...],
    spec: Path | None,
    budget: int | None,
    dry_run: bool,
    idempotency_key: str | None,
    wait: bool,
    timeout: float | None,
    output: Format,
) -> int:
    """Run a finished run again.

    What nothing has changed for is taken over by its digest; the rest runs, and only that is paid for. The run itself
    is left as it is: the new one names it.

    agentctl workflow rerun run_01… --from summarize --set language=fr --dry-run
    """
    if failed_only and from_nodes:
        raise click.UsageError("give --from or --failed-only, not both")
    if failed_only and failed_items:
        raise click.UsageError("give --failed-items or --failed-only, not both: maps that tolerate failures succeeded")
    changes = dict(_change(text) for text in settings)
    document = _document(spec) if spec is not None else None
    with connect(context) as client:
        preview = client.preview_rerun(
            run_id,
            from_nodes=from_nodes,
            failed_only=failed_only,
            failed_items=failed_items,
            changes=changes,
            document=document,
        )
        if dry_run:
            show(preview, output, lambda: _preview_text(preview))
            return ExitCode.OK
        if output == "table":
            click.echo(_preview_text(preview), err=True)
        run = client.rerun(
            run_id,
            from_nodes=from_nodes,
            failed_only=failed_only,
            failed_items=failed_items,
            changes=changes,
            document=document,
            budget_cents=budget,
            idempotency_key=idempotency_key,
        )
        if wait:
            return follow(client, run["run_id"], timeout, output)
    show(run, output, lambda: run["run_id"])
    if output == "table":
        click.echo(f"Follow it with: agentctl workflow watch {run['run_id']}", err=True)
    return ExitCode.OK


def _document(file: Path) -> str:
    text = read_document(file)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise click.UsageError(f"--spec {file} is not UTF-8 (character {error.start})") from error
    return text


def _change(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise click.UsageError(f"--set {text!r} has no PATH=VALUE, such as language=fr")
    try:
        return path, json.loads(value, parse_constant=_refuse)
    except ValueError:
        return path, value


def _refuse(name: str) -> None:
    raise ValueError(name)


def _preview_text(preview: "RerunPreviewDocument") -> str:
    from agentflow.money import MicroUsd, format_usd

    rows = [
        (
            node["id"],
            "taken over" if node["reused"] else "finished parts taken over" if node["takes_over_items"] else "runs",
            node["reason"],
            format_usd(MicroUsd(node["earlier_cost_micro_usd"])) if node["earlier_cost_micro_usd"] is not None else "?",
        )
        for node in preview["nodes"]
    ]
    cost = format_usd(MicroUsd(preview["estimated_cost_micro_usd"]))
    unknown = ", ".join(preview["unknown_cost_nodes"])
    estimate = f"What runs again cost {cost} in the earlier run"
    return f"{table(('NODE', 'DOES', 'BECAUSE', 'COST THEN'), rows)}\n\n{estimate}" + (
        f"; of {unknown} nothing is known." if unknown else "."
    )

"""`agentctl workflow`: register, submit, follow, pause, cancel and repeat workflows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.connection import connect
from cli.exit_codes import ExitCode
from cli.offline_check import checked_document, offline_options
from cli.output import Format, facts, local_time, next_page_hint, output_option, page_options, show, table
from cli.replay_check import replay_check
from cli.rerun import rerun
from cli.run_following import follow, run_text
from cli.run_inputs import inputs_text, submit_command
from cli.step import step, steps
from cli.workflow_files import read_document, read_inputs
from cli.workflow_graph import graph

if TYPE_CHECKING:
    from agentflow.client_types import WorkflowBoundsDocument, WorkflowCheckDocument, WorkflowDetailDocument

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_STATES = click.Choice(["submitted", "running", "succeeded", "failed", "cancelled"])


@click.group("workflow")
def workflow() -> None:
    """Register, submit, follow, pause, cancel and repeat workflows."""


@workflow.command("validate")
@click.argument("file", type=_FILE)
@offline_options
@output_option
@click.pass_context
def validate(context: click.Context, *, file: Path, offline: bool, prompts: Path | None, output: Format) -> None:
    """Check a workflow document; every problem is shown at once, with its line and path.

    Where no server answers it is checked against what is installed here, and what only a server can say is told.
    """
    checked = checked_document(context, file, offline=offline, prompts=prompts)
    show(checked, output, lambda: _check_text(checked))
    if output == "table" and str(file) != "-":
        _tell_command(["--file", str(file)], checked["inputs_schema"])


@workflow.command("register")
@click.argument("file", type=_FILE)
@output_option
@click.pass_context
def register(context: click.Context, *, file: Path, output: Format) -> None:
    """Store a version of a workflow. The same document again gives the same version."""
    with connect(context) as client:
        registered = client.register_workflow(read_document(file))
    show(registered, output, lambda: _plan_text(registered))
    if output == "table":
        _tell_inputs(registered["inputs_schema"])
        # By its version: without one, the latest would run.
        _tell_command([registered["name"], "--version", str(registered["version"])], registered["inputs_schema"])


@workflow.command("submit")
@click.argument("name", required=False)
@click.option("-f", "--file", type=_FILE, help="Register this document first, and run that version.")
@click.option("--inputs", "inputs_text", metavar="JSON", default="{}", help="The run's inputs; @FILE reads a file.")
@click.option("--budget", type=click.IntRange(0), metavar="CENTS", help="What the run may spend, in US cents.")
@click.option("--version", type=click.IntRange(1), help="The workflow's version.  [default: the latest]")
@click.option("--idempotency-key", help="Submitting twice with one key gives one run.")
@click.option("--wait", is_flag=True, help="Follow the run and return when it has ended.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="With --wait: how long.")
@output_option
@click.pass_context
def submit(
    context: click.Context,
    *,
    name: str | None,
    file: Path | None,
    inputs_text: str,
    budget: int | None,
    version: int | None,
    idempotency_key: str | None,
    wait: bool,
    timeout: float | None,
    output: Format,
) -> int:
    """Run a workflow.

    agentctl workflow submit document_analysis --inputs '{"document_key": "sample.pdf"}' --budget 1000 --wait
    """
    if name is None and file is None:
        raise click.UsageError("name a workflow, or a document with --file")
    inputs = read_inputs(inputs_text)
    with connect(context) as client:
        if file is not None:
            registered = client.register_workflow(read_document(file))
            if name is not None and name != registered["name"]:
                raise click.UsageError(f"{file} holds the workflow {registered['name']!r}, not {name!r}")
            name, version = registered["name"], registered["version"]
        run = client.submit_run(
            str(name), inputs=inputs, version=version, budget_cents=budget, idempotency_key=idempotency_key
        )
        if wait:
            return follow(client, run["run_id"], timeout, output)
    show(run, output, lambda: run["run_id"])
    if output == "table":
        click.echo(f"Follow it with: agentctl workflow watch {run['run_id']}", err=True)
    return ExitCode.OK


@workflow.command("list")
@click.option("--runs", "list_runs", is_flag=True, help="List runs instead of workflows.")
@click.option("--workflow", "workflow_name", help="With --runs: of this workflow only.")
@click.option("--state", type=_STATES, help="With --runs: in this state only.")
@click.option("--below", "parent", metavar="RUN", help="List the runs right below this one.")
@page_options
@output_option
@click.pass_context
def list_(
    context: click.Context,
    *,
    list_runs: bool,
    workflow_name: str | None,
    state: str | None,
    parent: str | None,
    limit: int,
    cursor: str | None,
    output: Format,
) -> None:
    """List workflows by name, or runs with the latest first."""
    with connect(context) as client:
        if list_runs or workflow_name or state or parent:
            page: Any = client.list_runs(
                workflow_name=workflow_name, state=state, parent=parent, limit=limit, cursor=cursor
            )
            show(page, output, lambda: _runs_table(page["items"]))
        else:
            page = client.list_workflows(limit=limit, cursor=cursor)
            show(page, output, lambda: _workflows_table(page["items"]))
    next_page_hint(page["next_cursor"])


@workflow.command("status")
@click.argument("run_id")
@output_option
@click.pass_context
def status(context: click.Context, *, run_id: str, output: Format) -> None:
    """Show how a run and its nodes stand."""
    with connect(context) as client:
        run = client.get_run(run_id)
    show(run, output, lambda: run_text(run))


@workflow.command("output")
@click.argument("run_id")
@click.argument("node_id")
@click.option("--first", type=click.IntRange(0), default=0, help="Of a long list: the first item.  [default: 0]")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Of a long list: how many.")
@click.pass_context
def output_(context: click.Context, *, run_id: str, node_id: str, first: int, limit: int) -> None:
    """Print what a node has given, as JSON, whether its run goes on, failed or was cancelled."""
    with connect(context) as client:
        found = client.get_node_output(run_id, node_id, first=first, limit=limit)
    click.echo(json.dumps(found["output"], ensure_ascii=False, indent=2))
    count = found["item_count"]
    if count is not None:
        shown = f"{len(found['output']):,} of {count:,} items, from item {found['first']:,} on"
        click.echo(f"{shown}; see --first and --limit", err=True)


@workflow.command("watch")
@click.argument("run_id")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="How long to wait.")
@output_option
@click.pass_context
def watch(context: click.Context, *, run_id: str, timeout: float | None, output: Format) -> int:
    """Follow a run until it has ended; the exit code says how."""
    with connect(context) as client:
        return follow(client, run_id, timeout, output)


@workflow.command("cancel")
@click.argument("run_id")
@output_option
@click.pass_context
def cancel(context: click.Context, *, run_id: str, output: Format) -> None:
    """Ask a run to stop, which it does within seconds."""
    with connect(context) as client:
        run = client.cancel_run(run_id)
    show(run, output, lambda: f"{run_id} is asked to stop; it is {run['state']}")


@workflow.command("pause")
@click.argument("run_id")
@output_option
@click.pass_context
def pause(context: click.Context, *, run_id: str, output: Format) -> None:
    """Let nothing more of a run begin; what is under way finishes."""
    with connect(context) as client:
        run = client.pause_run(run_id)
    show(run, output, lambda: f"{run_id} is paused; go on with: agentctl workflow resume {run_id}")


@workflow.command("resume")
@click.argument("run_id")
@output_option
@click.pass_context
def resume(context: click.Context, *, run_id: str, output: Format) -> None:
    """Let a paused run go on."""
    with connect(context) as client:
        run = client.resume_run(run_id)
    show(run, output, lambda: f"{run_id} goes on; it is {run['state']}")


@workflow.command("event")
@click.argument("run_id")
@click.argument("key")
@click.option("--payload", "payload_text", metavar="JSON", default="{}", help="What comes with it; @FILE reads a file.")
@click.pass_context
def event(context: click.Context, *, run_id: str, key: str, payload_text: str) -> None:
    """Deliver an event that a run waits for, or will wait for."""
    payload = read_inputs(payload_text, option="--payload")
    with connect(context) as client:
        told = client.deliver_event(run_id, key, payload)
    until = f"; nothing waits for it yet, and it is kept until {told['kept_until']}" if told.get("kept_until") else ""
    click.echo(f"{run_id} has event {key!r}{until}", err=True)


workflow.add_command(step)
workflow.add_command(steps)
workflow.add_command(rerun)
workflow.add_command(graph)
workflow.add_command(replay_check)


def _check_text(checked: "WorkflowCheckDocument") -> str:
    parts = [_plan_text(checked), inputs_text(checked["inputs_schema"]), _bounds_text(checked["bounds"])]
    return "\n\n".join(part for part in parts if part is not None)


def _bounds_text(bounds: "WorkflowBoundsDocument") -> str:
    """The worst case of a run, and which nodes are made for long lists."""
    from agentflow.money import MicroUsd, format_usd

    cost = bounds["cost_micro_usd"]
    maps = [
        f"{node['id']} {node['strategy']} ({node['steps']:,} steps)" for node in bounds["nodes"] if node["strategy"]
    ]
    calls = f"{bounds['model_calls']:,}" + ("" if cost is None else f", {format_usd(MicroUsd(cost))}")
    return facts(
        {
            "At most": f"{bounds['steps']:,} steps in {bounds['workflows']:,} workflows",
            "Longest history": f"{bounds['events']:,} events, {bounds['history_bytes'] / 1e6:.1f} MB",
            "Under way": f"{bounds['pending']:,} in one workflow",
            "Model calls": calls if bounds["model_calls"] else None,
            "Maps": ", ".join(maps) or None,
        }
    )


def _tell_command(source: list[str], schema: dict[str, Any] | None) -> None:
    click.echo(f"Run it with: {submit_command(source, schema)}", err=True)


def _tell_inputs(schema: dict[str, Any] | None) -> None:
    text = inputs_text(schema)
    if text is not None:
        click.echo(f"{text}\n", err=True)


def _plan_text(checked: "WorkflowCheckDocument | WorkflowDetailDocument") -> str:
    rows = [(node["id"], node["type"], node["target"], ", ".join(node["depends"])) for node in checked["nodes"]]
    heading = facts({"Workflow": f"{checked['name']} version {checked['version']}"})
    return f"{heading}\n\n{table(('NODE', 'TYPE', 'DOES', 'AFTER'), rows)}"


def _workflows_table(items: list[dict[str, Any]]) -> str:
    rows = [(item["name"], str(item["version"]), local_time(item["created_at"]) or "") for item in items]
    return table(("NAME", "VERSION", "CREATED"), rows)


def _runs_table(items: list[dict[str, Any]]) -> str:
    from agentflow.money import MicroUsd, format_usd

    rows = [
        (
            item["run_id"],
            f"{item['workflow_name']}@{item['workflow_version']}",
            item["state"],
            local_time(item["created_at"]) or "",
            format_usd(MicroUsd(item["cost_micro_usd"])),
        )
        for item in items
    ]
    return table(("RUN", "WORKFLOW", "STATE", "CREATED", "COST"), rows)

"""`agentctl workflow replay-check`: whether the code right here can go on with what a live server's runs began."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from cli.duration import Duration
from cli.exit_codes import ExitCode
from cli.operator import ask_temporal, operator_settings
from cli.output import Format, output_option, show, table

if TYPE_CHECKING:
    from agentflow.settings import Settings
    from workflows.replay_gate import ReplayReport
    from workflows.replay_sample import Selection


@click.command("replay-check")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Histories at most.")
@click.option("--since", type=Duration(), help="Started this long ago or later, such as 7d.")
@click.option("--workflow", "workflow_name", metavar="NAME", help="Runs of this workflow only, with their shards.")
@click.option("--run", "run_id", metavar="RUN", help="This run only, with its shards.")
@output_option
def replay_check(
    *, limit: int, since: timedelta | None, workflow_name: str | None, run_id: str | None, output: Format
) -> int:
    """Replay histories of a live server against the code right here.

    The latest runs and map shards are taken in turn, running and finished ones; exit code 1 when one does not replay.
    An operator's command: it speaks to Temporal with the worker's settings (TEMPORAL_ADDRESS, PAYLOAD_KEYS), and reads
    the histories of every organisation of the namespace. It writes nothing.
    """
    from workflows.replay_sample import Selection

    selection = Selection(
        limit=limit,
        started_after=datetime.now(UTC) - since if since is not None else None,
        workflow_name=workflow_name,
        run_id=run_id,
    )
    report = run_replay_check(operator_settings(), selection)
    show(asdict(report), output, lambda: report_text(report))
    return ExitCode.ERROR if report.failures else ExitCode.OK


def run_replay_check(settings: "Settings", selection: "Selection") -> "ReplayReport":
    """The report of a sample, with progress on standard error where that is a terminal."""
    from workflows.replay_gate import ReplayGate
    from workflows.temporal_connection import data_converter
    from workflows.worker import WORKFLOWS

    gate = ReplayGate(WORKFLOWS, converter=data_converter(settings))
    report = ask_temporal(settings, lambda temporal: gate.check(temporal, selection, on_progress=_show_progress))
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    return report


def report_text(report: "ReplayReport") -> str:
    """A table of what failed, and a line that counts."""
    gone = f"; {report.gone} were gone before they could be read" if report.gone else ""
    count = f"{report.replayed} histories replayed, {len(report.failures)} failed{gone}."
    if not report.failures:
        return count
    rows = [(failure.workflow_id, str(failure.event_id), failure.cause) for failure in report.failures]
    return f"{table(('WORKFLOW ID', 'EVENT', 'CAUSE'), rows)}\n\n{count}"


def _show_progress(report: "ReplayReport") -> None:
    if sys.stderr.isatty():
        click.echo(f"\rReplayed {report.replayed}, {len(report.failures)} failed", nl=False, err=True)

"""`agentctl trace`: what a run did, when, and at what cost."""

import shutil
import sys

import click

from cli.connection import connect
from cli.output import Format, output_option, show


@click.group("trace")
def trace() -> None:
    """Look at what a run did, when, and at what cost."""


@trace.command("get")
@click.argument("run_id")
@click.option("--width", type=click.IntRange(60, 400), help="Columns.  [default: the terminal's]")
@output_option
@click.pass_context
def get(context: click.Context, *, run_id: str, width: int | None, output: Format) -> None:
    """Show the trace of a run: its figures, and its spans as a tree with a timeline beside it."""
    from observability.analysis.models import spans_from_json
    from observability.analysis.trace_query import build_trace
    from observability.analysis.trace_text import trace_lines

    with connect(context) as client:
        document = client.get_trace(run_id)

    def as_text() -> str:
        built = build_trace(spans_from_json(document), is_cut=document["is_cut"])
        columns = width or shutil.get_terminal_size((100, 24)).columns
        return "\n".join(trace_lines(built, width=columns, use_unicode=_speaks_unicode()))

    show(document, output, as_text)


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

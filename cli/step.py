"""`agentctl workflow step` and `steps`: what happened at a step of a run, and what a node is made of."""

from typing import TYPE_CHECKING

import click

from cli.connection import connect
from cli.output import Format, next_page_hint, output_option, page_options, show

if TYPE_CHECKING:
    from agentflow.client_types import StepDocument

_ITEM = click.option("--item", type=click.IntRange(0), metavar="N", help="Of a map: the item with this index, from 0.")
_STATES = click.Choice(["claimed", "committed", "failed", "cancelled", "in_doubt"])


@click.command("step")
@click.argument("run_id")
@click.argument("node_id")
@_ITEM
@click.option("--part", metavar="PART", help="One of the steps that the node is made of, such as turn:0, iteration:2.")
@click.option(
    "--attempts", type=click.IntRange(1, 100), default=20, show_default=True, help="The most attempts to show."
)
@output_option
@click.pass_context
def step(
    context: click.Context,
    *,
    run_id: str,
    node_id: str,
    item: int | None,
    part: str | None,
    attempts: int,
    output: Format,
) -> None:
    """Show what happened at a step, failed ones too.

    Each attempt with the messages that were sent, the answers that came, the arguments of tools and functions, the
    output that was refused; and how the model was chosen.

    agentctl workflow step run_01… summarize --item 3
    """
    with connect(context) as client:
        found = client.get_step(run_id, node_id, item_index=item, part=part, attempts=attempts)
    show(found, output, lambda: _step_text(found))
    if output == "table" and found["next_cursor"] is not None:
        click.echo(f"There are more parts: agentctl workflow steps {run_id} {node_id}", err=True)


@click.command("steps")
@click.argument("run_id")
@click.argument("node_id")
@_ITEM
@click.option("--failed", is_flag=True, help="Those that failed only, tolerated ones too; short for --state failed.")
@click.option("--state", type=_STATES, help="In this state only.")
@page_options
@output_option
@click.pass_context
def steps(
    context: click.Context,
    *,
    run_id: str,
    node_id: str,
    item: int | None,
    failed: bool,
    state: str | None,
    limit: int,
    cursor: str | None,
    output: Format,
) -> None:
    """List what a node is made of: the items of its map by index, or its parts as they began."""
    if failed and state not in {None, "failed"}:
        raise click.UsageError("--failed and --state name different states; leave one of them out")
    with connect(context) as client:
        page = client.list_steps(
            run_id, node_id, item_index=item, state="failed" if failed else state, limit=limit, cursor=cursor
        )
    from cli.step_text import step_hint, steps_table

    show(page, output, lambda: steps_table(page["items"]))
    next_page_hint(page["next_cursor"])
    if output == "table" and page["items"]:
        click.echo(f"Look at one: {step_hint(run_id, node_id, page['items'][0])}", err=True)


def _step_text(found: "StepDocument") -> str:
    from cli.step_text import step_text

    return step_text(found)

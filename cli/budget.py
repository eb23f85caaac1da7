"""`agentctl budget`: limits on what an organisation spends."""

import click

from cli.connection import connect
from cli.output import Format, cents, local_time, next_page_hint, output_option, page_options, show, table


@click.group("budget")
def budget() -> None:
    """Limit what is spent, and see what is left."""


@budget.command("create")
@click.option("--period", type=click.Choice(["daily", "weekly", "monthly"]), required=True, help="When it starts anew.")
@click.option("--limit", "limit_cents", type=click.IntRange(0), metavar="CENTS", required=True, help="In US cents.")
@output_option
@click.pass_context
def create(context: click.Context, *, period: str, limit_cents: int, output: Format) -> None:
    """Set a limit that every model call counts against from now on."""
    with connect(context) as client:
        made = client.create_budget(period_type=period, limit_cents=limit_cents)
    show(made, output, lambda: f"{made['budget_id']}: {cents(made['limit_cents'])} {made['period_type']}")


@budget.command("list")
@page_options
@output_option
@click.pass_context
def list_(context: click.Context, *, limit: int, cursor: str | None, output: Format) -> None:
    """List budgets."""
    with connect(context) as client:
        page = client.list_budgets(limit=limit, cursor=cursor)
    rows = [
        (
            item["budget_id"],
            item["period_type"],
            cents(item["limit_cents"]) or "",
            local_time(item["created_at"]) or "",
        )
        for item in page["items"]
    ]
    show(page, output, lambda: table(("BUDGET", "PERIOD", "LIMIT", "CREATED"), rows))
    next_page_hint(page["next_cursor"])


@budget.command("status")
@page_options
@output_option
@click.pass_context
def status(context: click.Context, *, limit: int, cursor: str | None, output: Format) -> None:
    """Show what is spent, held and left of each budget."""
    with connect(context) as client:
        page = client.budget_status(limit=limit, cursor=cursor)
    rows = [
        (
            item["budget_id"],
            item["period_type"],
            *(cents(item[name]) or "" for name in ("limit_cents", "spent_cents", "held_cents", "remaining_cents")),
            local_time(item["window_start"]) or "",
        )
        for item in page["items"]
    ]
    show(page, output, lambda: table(("BUDGET", "PERIOD", "LIMIT", "SPENT", "HELD", "LEFT", "SINCE"), rows))
    next_page_hint(page["next_cursor"])

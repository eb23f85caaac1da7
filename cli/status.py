"""`agentctl status`: whether the server and its parts answer."""

import click

from cli.connection import connect, find_connection
from cli.exit_codes import ExitCode
from cli.output import Format, facts, output_option, show


@click.command("status")
@output_option
@click.pass_context
def status(context: click.Context, *, output: Format) -> int:
    """Show whether the server and its parts answer. Exit code 1 when one does not."""
    connection = find_connection(context)
    with connect(context) as client:
        found = client.readiness()
    document = {"api_url": connection.api_url, **found}
    text = facts(
        {
            "API": f"{connection.api_url} (from {connection.api_url_source})",
            "API key": f"from {connection.api_key_source}" if connection.api_key else "none",
            "Database": found["database"],
            "Temporal": found["temporal"],
        }
    )
    show(document, output, lambda: text)
    return ExitCode.OK if found["status"] == "ok" else ExitCode.ERROR

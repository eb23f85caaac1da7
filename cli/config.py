"""`agentctl config`: which server to speak to, and with which key."""

import click

from cli.config_file import KEYS, config_path, read_config, write_config
from cli.connection import DEFAULT_API_URL, find_connection
from cli.output import Format, facts, output_option, show


@click.group("config")
def config() -> None:
    """Say which server to speak to, and with which key."""


@config.command("init")
@click.option("--api-url", default=DEFAULT_API_URL, show_default=True, help="The server.")
@click.option("--force", is_flag=True, help="Replace what is configured.")
def init(*, api_url: str, force: bool) -> None:
    """Write a configuration file for this user."""
    path = config_path()
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already; change it with `agentctl config set`, or use --force")
    write_config({"api_url": _checked_url(api_url)})
    click.echo(f"wrote {path}; now: agentctl config login", err=True)


@config.command("set")
@click.argument("key", type=click.Choice(list(KEYS)))
@click.argument("value")
def set_(*, key: str, value: str) -> None:
    """Change one value."""
    path = write_config({**read_config(), key: _checked_url(value) if key == "api_url" else value})
    click.echo(f"set {key} in {path}", err=True)


@config.command("show")
@output_option
@click.pass_context
def show_(context: click.Context, *, output: Format) -> None:
    """Show what commands use, and where it comes from; of the key only its beginning."""
    connection = find_connection(context)
    key = f"{connection.api_key[:6]}…" if connection.api_key else None
    document = {
        "file": str(config_path()),
        "api_url": connection.api_url,
        "api_url_source": connection.api_url_source,
        "api_key": key,
        "api_key_source": connection.api_key_source,
    }
    text = facts(
        {
            "File": document["file"],
            "API": f"{connection.api_url} (from {connection.api_url_source})",
            "API key": f"{key} (from {connection.api_key_source})" if key else "none",
        }
    )
    show(document, output, lambda: text)


@config.command("login")
@click.option("--api-key", help="The key; asked for, without echo, when it is left out.")
@click.pass_context
def login(context: click.Context, *, api_key: str | None) -> None:
    """Try a key on the server, and keep it when the server takes it."""
    from agentflow.client import AgentflowClient

    secret = (api_key or click.prompt("API key", hide_input=True, err=True)).strip()
    url = find_connection(context).api_url
    with AgentflowClient(url, api_key=secret) as client:
        client.list_workflows(limit=1)
    path = write_config({**read_config(), "api_url": url, "api_key": secret})
    click.echo(f"logged in to {url}; the key is in {path}", err=True)


def _checked_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"{url!r} is not a server's address; write http://… or https://…")
    return url.rstrip("/")

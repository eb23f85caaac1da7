"""`agentctl dev`: the whole of AgentFlow on this machine, in the foreground or behind the terminal."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from cli.embedded.ports import StackPorts
    from cli.embedded.stack_status import StackStatus
    from cli.embedded.supervisor import StackOptions

_LABELS = {
    "api": "API",
    "temporal_ui": "Temporal Web UI",
    "temporal": "Temporal",
    "model": "Local model",
    "database": "Database URL",
    "api_key_file": "API key file",
    "organisation": "Organisation",
    "worker_metrics": "Worker metrics",
    "logs": "Logs",
}
_ADDRESS_OF = {"api": "api", "temporal": "temporal", "ui": "temporal_ui"}
_PORT = click.IntRange(0, 65535)
#: As in cli.embedded.ports, which a command line that only asks for help does not import.
_USUAL_PORTS = {"api": 8080, "temporal": 7233, "ui": 8233}
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _port_option(part: str, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    usual = _USUAL_PORTS.get(part)
    default = f"{usual}, or a free one where that is taken" if usual is not None else "a free one"
    told = f"Port of {what}; 0 takes a free one.  [default: {default}]"
    return click.option(f"--{part}-port", type=_PORT, default=None, help=told)


@click.group("dev", invoke_without_command=True)
@click.option("--data-dir", type=_FOLDER, default=Path(".agentflow"), show_default=True, help="Where all data is kept.")
@_port_option("api", "the API")
@_port_option("temporal", "Temporal")
@_port_option("ui", "Temporal's Web UI")
@_port_option("model", "the local model")
@click.option("--no-model", is_flag=True, help="Leave out the local model.")
@click.option("--detach", is_flag=True, help="Return when the stack is ready and leave it running.")
@click.pass_context
def dev(
    context: click.Context,
    *,
    data_dir: Path,
    api_port: int | None,
    temporal_port: int | None,
    ui_port: int | None,
    model_port: int | None,
    no_model: bool,
    detach: bool,
) -> None:
    """Run AgentFlow on this machine: PostgreSQL, Temporal, a small model, worker and API.

    Stays in the foreground until Ctrl-C, then stops what it started. Data is kept for the next time.
    """
    if context.invoked_subcommand is not None:
        return
    from cli.embedded.ports import StackPorts
    from cli.embedded.supervisor import StackOptions

    ports = StackPorts(api=api_port, temporal=temporal_port, ui=ui_port, model=model_port)
    options = StackOptions(data_dir=data_dir.expanduser().resolve(), ports=ports, with_model=not no_model)
    with _errors_for_people():
        if detach:
            _run_in_background(options)
        else:
            _run_in_foreground(options)


def _data_dir_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--data-dir", type=_FOLDER, help="The stack's folder.  [default: .agentflow]")(command)


@dev.command("stop")
@_data_dir_option
@click.pass_context
def stop(context: click.Context, *, data_dir: Path | None) -> None:
    """Stop the stack, and return when it has stopped. Stopping a stack that does not run succeeds."""
    from cli.embedded.background import stop_running
    from cli.embedded.errors import StackNotRunning

    folder = _folder_of(context, data_dir)
    with _errors_for_people():
        try:
            stop_running(folder)
        except StackNotRunning:
            click.echo(f"no stack was running in {folder}", err=True)
        else:
            click.echo(f"stopped the stack in {folder}", err=True)


@dev.command("status")
@_data_dir_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def status(context: click.Context, *, data_dir: Path | None, output: Literal["table", "json"]) -> None:
    """Show the stack's parts and where they are. Exit code 1 when no stack is running."""
    from cli.embedded.stack_status import stack_status

    with _errors_for_people():
        found = stack_status(_folder_of(context, data_dir))
    click.echo(json.dumps(_status_document(found), indent=2) if output == "json" else _status_table(found))


def _run_in_foreground(options: "StackOptions") -> None:
    from cli.embedded.supervisor import configure_logging, supervise

    configure_logging()
    click.echo("Starting AgentFlow …", err=True)

    def tell(addresses: Mapping[str, str]) -> None:
        click.echo(_addresses_table(addresses))
        tell_moved_ports(options.ports, addresses)
        click.echo("AgentFlow is ready. Ctrl-C stops it.", err=True)

    supervise(options, when_ready=lambda stack: tell(stack.addresses))
    click.echo("AgentFlow has stopped.", err=True)


def _run_in_background(options: "StackOptions") -> None:
    from cli.embedded.background import start_in_background

    click.echo("Starting AgentFlow …", err=True)
    record = start_in_background(options)
    click.echo(_addresses_table(record.addresses))
    tell_moved_ports(options.ports, record.addresses)
    click.echo("AgentFlow is ready. `agentctl dev stop` stops it.", err=True)


def tell_moved_ports(ports: "StackPorts", addresses: Mapping[str, str]) -> None:
    """Says which parts are not where people look for them first, and how to choose."""
    from cli.embedded.errors import make_variable
    from cli.embedded.ports import moved_ports

    for part, usual, port in moved_ports(ports, addresses):
        choose = f"--{part}-port N, or with make {make_variable(f'--{part}-port')}=N, chooses another"
        click.echo(f"Port {usual} was taken: {_LABELS[_ADDRESS_OF[part]]} is on {port} ({choose}).", err=True)


@contextmanager
def _errors_for_people() -> Iterator[None]:
    """Our own errors end the command with their message and exit code 1; anything else is a defect and shows."""
    from agentflow.errors import AgentflowError

    try:
        yield
    except AgentflowError as error:
        raise click.ClickException(str(error)) from error


def _folder_of(context: click.Context, data_dir: Path | None) -> Path:
    """`--data-dir` as given after the subcommand, or before it, or the default."""
    if data_dir is None:
        group = context.parent
        data_dir = Path(group.params["data_dir"]) if group is not None else Path(".agentflow")
    return data_dir.expanduser().resolve()


def _addresses_table(addresses: Mapping[str, str]) -> str:
    shown = [(label, addresses[name]) for name, label in _LABELS.items() if name in addresses]
    width = max(len(label) for label, _ in shown)
    return "\n".join(f"{label:<{width}}  {address}" for label, address in shown)


def _status_document(status: "StackStatus") -> dict[str, Any]:
    return {
        "state": status.record.state,
        "data_dir": str(status.data_dir),
        "supervisor_pid": status.record.supervisor_pid,
        "addresses": status.record.addresses,
        "parts": [
            {"name": part.name, "state": part.state, "pid": part.pid, "address": part.address} for part in status.parts
        ],
    }


def _status_table(status: "StackStatus") -> str:
    rows = [("PART", "STATE", "PID", "ADDRESS")]
    rows += [(part.name, part.state, str(part.pid or "-"), part.address or "-") for part in status.parts]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "\n".join([*lines, "", _addresses_table(status.record.addresses)])

"""`agentctl`: a client of the HTTP API, and the embedded stack. Commands are imported when they are called."""

import importlib
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from cli.exit_codes import ExitCode, exit_code_of

#: Command → module, function, and the line that `agentctl --help` shows without importing it.
_COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "dev": ("cli.dev", "dev", "Run AgentFlow on this machine, from wheels alone."),
    "demo": ("cli.demo", "demo", "Run the document-analysis example from start to end."),
    "config": ("cli.config", "config", "Say which server to speak to, and with which key."),
    "workflow": ("cli.workflow", "workflow", "Register, submit, follow, pause, cancel and repeat workflows."),
    "approval": ("cli.approval", "approval", "See what waits for a decision, and decide it."),
    "prompt": ("cli.prompt", "prompt", "Create and deploy prompt versions."),
    "budget": ("cli.budget", "budget", "Limit what is spent, and see what is left."),
    "trace": ("cli.trace", "trace", "Look at what a run did, when, and at what cost."),
    "queue": ("cli.queue", "queue", "See what waits for workers, and limit how fast it is handed out."),
    "key": ("cli.key", "key", "Make, list and revoke API keys, as the operator."),
    "worker": ("cli.worker", "worker", "See and promote the builds of workers."),
    "status": ("cli.status", "status", "Show whether the server and its parts answer."),
}


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """A reader that goes away (`agentctl … | head`) ends the command without an error; that is its right."""
    try:
        yield
    except BrokenPipeError as error:
        # click itself would exit with 1.
        raise click.exceptions.Exit(ExitCode.OK) from error


class _LazyGroup(click.Group):
    """Knows its commands by name, and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, function, _ = entry
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        with _reader_may_leave():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _reader_may_leave():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: Any) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"agentctl {version('agentflow-platform')}")
        context.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show it.")
@click.option("--api-url", metavar="URL", help="The server.  [env: AGENTFLOW_API_URL]")
@click.option("--api-key", metavar="KEY", help="The key; better in AGENTFLOW_API_KEY, which `ps` does not show.")
@click.pass_context
def agentctl(context: click.Context, *, api_url: str | None, api_key: str | None) -> None:
    """Durable workflows for LLM agents.

    Data goes to standard output, all else to standard error. Exit codes: 0 ok, 1 error, 2 usage, 3 cancelled or
    timed out, 4 not authorised, 5 the run failed.
    """
    context.obj = {"api_url": api_url, "api_key": api_key}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    try:
        outcome = agentctl.main(args=arguments, prog_name="agentctl", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Aborted.", err=True)
        return ExitCode.CANCELLED
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE if isinstance(error, click.UsageError) else ExitCode.ERROR
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        _show(error)
        return code
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _show(error: Exception) -> None:
    from cli.output import printable

    click.echo(f"Error: {printable(str(error))}", err=True)


def run() -> None:
    """The console script."""
    from agentflow.process_exit import exit_process

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows another one; that is no reason to end.
            stream.reconfigure(errors="replace")
    exit_process(main(sys.argv[1:]))


if __name__ == "__main__":
    run()

"""`agentctl demo`: the document-analysis example on a stack of its own, from an empty folder to a report."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.example_files import SAMPLE_DOCUMENT, example_folder
from cli.exit_codes import exit_code_of_run

if TYPE_CHECKING:
    from agentflow.client import AgentflowClient
    from agentflow.client_types import RunDocument

_BUDGET_CENTS = 1_000
_PORT = click.IntRange(0, 65535)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("demo")
@click.option(
    "--data-dir", type=_FOLDER, default=Path(".agentflow/demo"), show_default=True, help="The stack's folder."
)
@click.option("--api-port", type=_PORT, default=0, help="Port of the API.  [default: a free one]")
@click.option("--temporal-port", type=_PORT, default=0, help="Port of Temporal.  [default: a free one]")
@click.option("--ui-port", type=_PORT, default=0, help="Port of Temporal's Web UI.  [default: a free one]")
@click.option("--model-port", type=_PORT, default=0, help="Port of the local model.  [default: a free one]")
@click.option("--keep", is_flag=True, help="Leave the stack running, with its Web UI.")
def demo(*, data_dir: Path, keep: bool, **ports: int) -> int:
    """Run the document-analysis example: start a stack, register prompts and workflow, run it on a PDF, report, stop.

    No key and no network are needed: the model is SmolLM2-135M, which ships as a package. It is very small; what it
    writes shows that the machinery works, not what a large model would say.
    """
    began = time.monotonic()
    _tell("Starting PostgreSQL, Temporal, the local model, the API and a worker …")
    with _stack(data_dir.expanduser().resolve(), ports, keep=keep) as addresses:
        _tell(
            f"Ready after {time.monotonic() - began:.0f} s. API {addresses['api']}, Web UI {addresses['temporal_ui']}"
        )
        from agentflow.client import AgentflowClient

        key = Path(addresses["api_key_file"]).read_text(encoding="ascii").strip()
        with AgentflowClient(addresses["api"], api_key=key) as client:
            run = _run_example(client)
        _report(run)
        if keep:
            key_file = addresses["api_key_file"]
            with_key = f'AGENTFLOW_API_URL={addresses["api"]} AGENTFLOW_API_KEY="$(cat {shlex.quote(key_file)})"'
            _tell(f"Look at it with: {with_key} agentctl trace get {run['run_id']}")
            _tell(f"The stack goes on. Stop it with: agentctl dev stop --data-dir {data_dir}")
        else:
            _tell("Stopping what was started, the Web UI included (`agentctl demo --keep` leaves it running) …")
    _tell(f"Done in {time.monotonic() - began:.0f} s.")
    return exit_code_of_run(run["state"])


def _run_example(client: "AgentflowClient") -> "RunDocument":
    from cli.run_progress import following
    from promptops.prompt_file import parse_prompt_file

    folder = example_folder()
    for file in sorted((folder / "prompts").glob("*.yaml")):
        draft = parse_prompt_file(file.read_text(encoding="utf-8"))
        made = client.create_prompt(name=draft.name, template=draft.template, schema=draft.input_schema)
        _tell(f"Prompt {made['name']}@{made['version']} ({made['digest'][:12]})")
    registered = client.register_workflow((folder / "workflow.yaml").read_text(encoding="utf-8"))
    _tell(f"Workflow {registered['name']} version {registered['version']}, {len(registered['nodes'])} nodes")
    run = client.submit_run(
        registered["name"],
        version=registered["version"],
        inputs={"document_key": SAMPLE_DOCUMENT},
        budget_cents=_BUDGET_CENTS,
    )
    _tell(f"Run {run['run_id']}")
    with following() as follower:
        return client.wait(run["run_id"], on_update=follower)


def _report(run: "RunDocument") -> None:
    from cli.output import printable
    from cli.run_text import node_lines, run_facts

    if run["outputs"] is not None:
        click.echo(printable(str(run["outputs"]["report"])))
    click.echo("\n".join(node_lines(run)))
    click.echo(f"\n{run_facts(run)}")


@contextmanager
def _stack(data_dir: Path, given: Mapping[str, int], *, keep: bool) -> Iterator[dict[str, str]]:
    """The addresses of a stack that runs inside the block, and after it when it is kept."""
    from cli.embedded.background import start_in_background
    from cli.embedded.ports import StackPorts
    from cli.embedded.stack import EmbeddedStack
    from cli.embedded.supervisor import StackOptions, configure_logging

    ports = StackPorts(**{name.removesuffix("_port"): port for name, port in given.items()})
    if keep:
        yield start_in_background(StackOptions(data_dir=data_dir, ports=ports)).addresses
        return
    configure_logging(quiet=True)
    with EmbeddedStack(data_dir, ports) as stack:
        yield stack.addresses


def _tell(line: str) -> None:
    """Progress goes to standard error: standard output holds the report."""
    click.echo(line, err=True)
    sys.stderr.flush()

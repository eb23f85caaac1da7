"""Documents checked on this machine alone, where no server answers."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import click

from cli.connection import connect, find_connection
from cli.workflow_files import read_document

if TYPE_CHECKING:
    from agentflow.client_types import WorkflowCheckDocument
    from promptops.models import PromptDraft

_PROMPT_FILES = ("*.yaml", "*.yml")


def offline_options(command: Any) -> Any:
    """`--offline` and `--prompts`."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    prompts = click.option(
        "--prompts",
        type=folder,
        metavar="DIR",
        help="Where no server answers: prompt files.  [default: prompts/ beside the document]",
    )
    return click.option("--offline", is_flag=True, help="Ask no server.")(prompts(command))


def checked_document(
    context: click.Context, file: Path, *, offline: bool, prompts: Path | None
) -> "WorkflowCheckDocument":
    """What the server says of a document, or this machine where none answers; tells what then stays unchecked."""
    from agentflow.client import ApiUnreachable

    text, url = read_document(file), find_connection(context).api_url
    if not offline:
        try:
            if not _is_refused_here(url):
                with connect(context) as client:
                    return client.validate_workflow(text)
        except ApiUnreachable:
            pass
        click.echo(f"No server answers at {url}; checked on this machine alone.", err=True)
    beside = file.parent / "prompts"
    folder = prompts or (beside if str(file) != "-" and beside.is_dir() else None)
    return _checked_here(text, _drafts_in(folder) if folder is not None else [])


def _is_refused_here(url: str) -> bool:
    """Whether nothing listens at an address of this machine: a client would ask again for seconds."""
    parts = urlsplit(url)
    if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return False
    try:
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        socket.create_connection((parts.hostname, port), timeout=2).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _checked_here(text: str, drafts: "list[PromptDraft]") -> "WorkflowCheckDocument":
    from api.schemas.workflows import workflow_check_of
    from cas.price_book import PriceBook
    from cas.router import Router
    from workflows.dag_document import parse_document
    from workflows.offline_compilation import compile_offline

    checked = compile_offline(parse_document(text), drafts)
    answer = workflow_check_of(checked.plan, Router((), PriceBook())).model_dump(mode="json")
    if answer["bounds"]["model_calls"]:
        # What calls cost is up to the models that a server offers.
        answer["bounds"]["cost_micro_usd"] = None
    if checked.unchecked:
        click.echo(f"Only a server can check: {'; '.join(checked.unchecked)}.", err=True)
    return cast("WorkflowCheckDocument", answer)


def _drafts_in(folder: Path) -> "list[PromptDraft]":
    """The prompts of a folder in the order in which `agentctl prompt create DIR/*` would make versions of them."""
    from promptops.errors import PromptFileInvalid
    from promptops.prompt_file import parse_prompt_file

    drafts = []
    for file in sorted(found for pattern in _PROMPT_FILES for found in folder.glob(pattern)):
        try:
            drafts.append(parse_prompt_file(file.read_text(encoding="utf-8-sig")))
        except (PromptFileInvalid, UnicodeDecodeError, OSError) as error:
            raise click.ClickException(f"{file}: {error}") from error
    return drafts

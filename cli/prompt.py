"""`agentctl prompt`: versions of prompts, and which of them are served."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.connection import connect
from cli.output import Format, facts, local_time, next_page_hint, output_option, page_options, printable, show, table

if TYPE_CHECKING:
    from agentflow.client_types import DeploymentDocument


@click.group("prompt")
def prompt() -> None:
    """Create and deploy prompt versions."""


@prompt.command("create")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
@click.pass_context
def create(context: click.Context, *, files: tuple[Path, ...], output: Format) -> None:
    """Make a version of each prompt file (YAML with name, template, schema); the same content gives the same version.

    All files are read before the first version is made.
    """
    from promptops.errors import PromptFileInvalid
    from promptops.prompt_file import parse_prompt_file

    drafts = []
    for file in files:
        try:
            drafts.append(parse_prompt_file(file.read_text(encoding="utf-8")))
        except (PromptFileInvalid, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file}: {error}") from error
    with connect(context) as client:
        made = [
            client.create_prompt(name=draft.name, template=draft.template, schema=draft.input_schema)
            for draft in drafts
        ]
    rows = [(version["name"], str(version["version"]), version["digest"][:12]) for version in made]
    show(made, output, lambda: table(("NAME", "VERSION", "DIGEST"), rows))


@prompt.command("list")
@page_options
@output_option
@click.pass_context
def list_(context: click.Context, *, limit: int, cursor: str | None, output: Format) -> None:
    """List prompts by name."""
    with connect(context) as client:
        page = client.list_prompts(limit=limit, cursor=cursor)
    rows = [(item["name"], str(item["latest_version"]), local_time(item["updated_at"]) or "") for item in page["items"]]
    show(page, output, lambda: table(("NAME", "LATEST", "UPDATED"), rows))
    next_page_hint(page["next_cursor"])


@prompt.command("get")
@click.argument("reference", metavar="NAME[@VERSION]")
@output_option
@click.pass_context
def get(context: click.Context, *, reference: str, output: Format) -> None:
    """Show a version of a prompt, the latest without @VERSION, and which versions are deployed."""
    name, separator, version = reference.partition("@")
    if separator and not version.isdigit():
        raise click.UsageError(f"{reference!r} must be a name, or a name and a version such as {name}@3")
    with connect(context) as client:
        found = client.get_prompt(name, int(version) if separator else None)
        deployed = client.get_deployment(name) if output == "table" else None
    heading = facts(
        {
            "Prompt": f"{found['name']}@{found['version']}",
            "Digest": found["digest"],
            "Created": local_time(found["created_at"]),
            **(_split(deployed) if deployed is not None else {}),
        }
    )
    schema = json.dumps(found["schema"], indent=2, ensure_ascii=False)
    show(found, output, lambda: f"{heading}\n\n{printable(found['template'])}\n\nSchema: {schema}")


@prompt.command("deploy")
@click.argument("name")
@click.option("--stable", type=click.IntRange(1), required=True, help="The version that is served.")
@click.option("--canary", type=click.IntRange(1), help="The version that a share of runs gets.")
@click.option("--ratio", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="That share.")
@click.option("--expected-revision", type=click.IntRange(0), help="Change only what is at this revision.")
@output_option
@click.pass_context
def deploy(
    context: click.Context,
    *,
    name: str,
    stable: int,
    canary: int | None,
    ratio: float,
    expected_revision: int | None,
    output: Format,
) -> None:
    """Serve a stable version, and a canary to a share of runs."""
    with connect(context) as client:
        state = client.deploy_prompt(
            name,
            stable_version=stable,
            canary_version=canary,
            canary_ratio=ratio,
            expected_revision=expected_revision,
        )
    show(state, output, lambda: facts({"Prompt": state["prompt_name"], **_split(state)}))


def _split(state: "DeploymentDocument") -> dict[str, str | None]:
    """Which versions are served, and to whom."""
    share = f"{state['canary_version']} for {state['canary_ratio']:.1%} of runs" if state["canary_version"] else None
    return {"Stable": str(state["stable_version"]), "Canary": share, "Revision": str(state["revision"])}

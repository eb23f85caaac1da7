"""`agentctl workflow graph`: a workflow as a drawing, from a file, as it is registered, or as a run stands."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.connection import connect
from cli.offline_check import checked_document, offline_options

if TYPE_CHECKING:
    from agentflow.client import AgentflowClient
    from agentflow.client_types import WorkflowNodeDocument
    from workflows.graph_view import GraphNode


@click.command("graph")
@click.argument("source", required=False, metavar="FILE|NAME[@VERSION]")
@click.option("--run", "run_id", metavar="RUN", help="Draw what this run runs, and how each node stands.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "svg", "json"]),
    default="text",
    show_default=True,
    help="Form of the drawing.",
)
@offline_options
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.pass_context
def graph(
    context: click.Context,
    *,
    source: str | None,
    run_id: str | None,
    form: str,
    offline: bool,
    prompts: Path | None,
    output: Path | None,
) -> None:
    """Draw a workflow's nodes and edges.

    FILE is a document, `-` is standard input; what is no file is a registered workflow, the latest version unless
    @VERSION says another. A document is drawn without a server, too.

    agentctl workflow graph examples/document_analysis/workflow.yaml --format svg -o graph.svg
    """
    if (source is None) == (run_id is None):
        raise click.UsageError("name a document or a workflow, or a run with --run")
    states: dict[str, str] | None = None
    if source is not None and (source == "-" or Path(source).is_file()):
        compiled: Mapping[str, Any] = checked_document(context, Path(source), offline=offline, prompts=prompts)
    elif offline:
        raise click.UsageError("--offline draws documents only; what is registered or runs is known to a server")
    else:
        with connect(context) as client:
            if run_id is not None:
                compiled = client.get_run_graph(run_id)
                states = {node["id"]: node["state"] for node in client.get_run(run_id)["nodes"]}
            else:
                compiled = _registered(client, str(source))
    nodes = [_graph_node(node) for node in compiled["nodes"]]
    lines = _drawn(form, compiled, nodes, states)
    if output is None:
        click.echo("\n".join(lines))
        return
    try:
        output.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--output {output} cannot be written: {error.strerror}") from error


def _registered(client: "AgentflowClient", source: str) -> Mapping[str, Any]:
    if "/" in source or source.endswith((".yaml", ".yml", ".json")):
        raise click.UsageError(f"there is no file {source!r}")
    name, at, version = source.partition("@")
    if at and not (version.isascii() and version.isdigit()):
        raise click.UsageError(f"{source!r} is not NAME@VERSION; a version is a number, such as {name}@1")
    return client.get_workflow(name, version=int(version) if at else None)


def _drawn(
    form: str, compiled: Mapping[str, Any], nodes: "Sequence[GraphNode]", states: Mapping[str, str] | None
) -> list[str]:
    name, version = compiled["name"], compiled["version"]
    if form == "json":
        return [json.dumps(_as_json(compiled, states), indent=2, ensure_ascii=False)]
    if form == "svg":
        from cli.graph_svg import draw_svg

        return draw_svg(name, version, nodes, states=states)
    from cli.graph_text import draw_text

    return draw_text(name, version, nodes, states=states)


def _as_json(compiled: Mapping[str, Any], states: Mapping[str, str] | None) -> dict[str, Any]:
    from workflows.graph_layout import layers_of

    nodes = compiled["nodes"]
    return {
        "name": compiled["name"],
        "version": compiled["version"],
        "nodes": [node if states is None else {**node, "state": states.get(node["id"])} for node in nodes],
        "edges": [{"from": source, "to": node["id"]} for node in nodes for source in node["depends"]],
        "layers": layers_of({node["id"]: node["depends"] for node in nodes}),
    }


def _graph_node(node: "WorkflowNodeDocument") -> "GraphNode":
    """The node of an answer; an older server leaves out all but four of its parts."""
    from workflows.graph_view import GraphNode

    return GraphNode(
        node_id=node["id"],
        type=node["type"],
        kind=node.get("kind") or node["type"],
        target=node["target"],
        upstream=tuple(node["depends"]),
        when=node.get("when"),
        on_error=node.get("on_error") or "fail",
        over=node.get("over"),
        window=node.get("window"),
        batch=node.get("batch"),
        more=tuple(node.get("more") or ()),
    )

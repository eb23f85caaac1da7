"""Follows a run live: a tree that redraws on a terminal, plain lines of what changed everywhere else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from cli.run_text import node_event, node_lines, state_text

if TYPE_CHECKING:
    from agentflow.client_types import RunDocument


class Follower(Protocol):
    """Sees a run at every look."""

    def __call__(self, run: "RunDocument", /) -> None:
        """Shows what is new."""
        ...


@contextmanager
def following() -> Iterator[Follower]:
    """A follower that writes to standard error: standard output is for the answer."""
    if sys.stderr.isatty():
        with _live_tree() as follower:
            yield follower
    else:
        yield _PlainLines()


class _PlainLines:
    """A line for each node whenever its state changes; for a map, as its items advance too."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int | None]] = {}

    def __call__(self, run: "RunDocument", /) -> None:
        for node in run["nodes"]:
            shown = (node["state"], node["items_done"])
            if node["state"] != "pending" and self._seen.get(node["id"]) != shown:
                self._seen[node["id"]] = shown
                click.echo(node_event(node), err=True)


@contextmanager
def _live_tree() -> Iterator[Follower]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    with Live(console=console, refresh_per_second=8, transient=False) as live:

        def draw(run: "RunDocument", /) -> None:
            heading = f"{run['workflow_name']}  {run['run_id']}  {state_text(run)}"
            live.update(Text("\n".join([heading, *node_lines(run)])))

        yield draw

"""`agentctl queue`: what waits for workers, and how fast it may be handed out; for operators."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.operator import ask_temporal, operator_settings
from cli.output import Format, output_option, show, table

if TYPE_CHECKING:
    from workflows.task_queues import QueueState, RateChange

_NO_LIMIT = "none"


def _rate(_context: click.Context, _parameter: click.Parameter, value: str | None) -> "RateChange | None":
    """`12.5` or `none`; None where the option is not given."""
    from workflows.task_queues import RateChange

    if value is None:
        return None
    if value == _NO_LIMIT:
        return RateChange(per_second=None)
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    # Zero would stop the queue, and who looks for the reason later looks at workers first.
    if not 0 < rate <= 1e6:
        raise click.BadParameter(f"{value!r} is no rate; give steps a second, more than 0, or {_NO_LIMIT}")
    return RateChange(per_second=rate)


def _queue_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    from workflows.task_queues import read_queue_names

    try:
        (name,) = read_queue_names(value)
    except ValueError as error:
        raise click.BadParameter("name one of runs, llm, llm:PROVIDER, tools, code") from error
    return name


@click.group("queue")
def queue() -> None:
    """See what waits for workers, and limit how fast it is handed out, with the worker's settings."""


@queue.command("list")
@output_option
def list_(*, output: Format) -> None:
    """List the task queues: what waits, for how long, who takes it, and the rates that are set."""
    from workflows.task_queues import TaskQueues, queue_names

    settings = operator_settings()
    found = ask_temporal(settings, lambda temporal: TaskQueues(temporal).states(queue_names(settings)))
    show([asdict(state) for state in found], output, lambda: _queues_table(found))


@queue.command("set")
@click.argument("name", callback=_queue_name)
@click.option("--rate", callback=_rate, metavar="RATE", help="Steps a second of all workers together; or `none`.")
@click.option("--key-rate", callback=_rate, metavar="RATE", help="Steps a second of each fairness key; or `none`.")
@click.option("--reason", default="agentctl queue set", show_default=True, help="Kept with the rate, for others.")
@output_option
def set_(*, name: str, rate: "RateChange | None", key_rate: "RateChange | None", reason: str, output: Format) -> None:
    """Limit how fast the steps of a queue (runs, llm, llm:PROVIDER, tools, code) are handed out.

    It takes effect within seconds, for all workers together, and stays when they go: the rates are Temporal's. A
    fairness key is an organisation, unless its documents name keys below it. Bookkeeping of runs is on the queue
    `runs`, with their functions.
    """
    from workflows.task_queues import TaskQueues

    if rate is None and key_rate is None:
        raise click.UsageError("give --rate, --key-rate, or both")
    settings = operator_settings()
    state = ask_temporal(
        settings, lambda temporal: TaskQueues(temporal).limit(name, whole=rate, each_key=key_rate, reason=reason)
    )
    show(asdict(state), output, lambda: _queues_table([state]))


def _queues_table(found: "Sequence[QueueState]") -> str:
    rows = [
        (
            state.name,
            f"{state.waiting:,}",
            f"{state.oldest_seconds:.1f} s" if state.waiting else "",
            f"{state.taken_per_second:.1f}/s",
            str(state.pollers),
            _limit(state.per_second),
            _limit(state.per_second_of_key),
        )
        for state in found
    ]
    return table(("QUEUE", "WAITING", "OLDEST", "TAKEN", "WORKERS", "RATE", "KEY RATE"), rows)


def _limit(per_second: float | None) -> str:
    return f"{per_second:g}/s" if per_second is not None else ""

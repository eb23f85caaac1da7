"""`agentctl worker`: which build of the code gets new runs, and what still runs on the others; for operators."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from cli.duration import Duration
from cli.exit_codes import ExitCode
from cli.operator import ask_temporal, operator_settings
from cli.output import Format, local_time, output_option, show, table

if TYPE_CHECKING:
    from temporalio.client import Client

    from agentflow.settings import Settings
    from workflows.worker_deployments import Build


@click.group("worker")
def worker() -> None:
    """See and promote the builds of workers, with the worker's settings.

    Builds are told apart where workers run with WORKER_DEPLOYMENT; see docs/deploying.md.
    """


def _deployment_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--deployment", metavar="NAME", help="The deployment.  [env: WORKER_DEPLOYMENT]")(command)


@worker.command("list")
@_deployment_option
@output_option
def list_(*, deployment: str | None, output: Format) -> None:
    """List the builds that workers have been started with, the latest first."""
    settings, name = _named(deployment)
    found = _builds(settings, name)
    show([_as_json(build) for build in found], output, lambda: _builds_table(found))


@worker.command("promote")
@click.argument("build_id")
@click.option("--ramp", type=click.FloatRange(0, 100), metavar="PERCENT", help="Give it this share of new runs only.")
@click.option("--skip-replay-check", is_flag=True, help="Promote without replaying anything.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Histories to replay.")
@click.option("--since", type=Duration(), help="Replay what started this long ago or later, such as 7d.")
@_deployment_option
def promote(
    *,
    build_id: str,
    ramp: float | None,
    skip_replay_check: bool,
    limit: int,
    since: timedelta | None,
    deployment: str | None,
) -> int:
    """Give new runs to a build, once histories of the server have been replayed with it.

    The code right here replays them, so it must be of that build. Runs under way stay on theirs; those that only wait
    are asked to go on with the new one. With --ramp nobody is asked.
    """
    settings, name = _named(deployment)
    if not skip_replay_check and not _replays(settings, build_id, limit, since):
        click.echo(f"{build_id} is not promoted.", err=True)
        return ExitCode.ERROR
    asked = ask_temporal(settings, lambda temporal: _promoted(temporal, name, build_id, ramp))
    if asked is None:
        click.echo(f"{build_id} gets {ramp:g} % of new runs.", err=True)
    else:
        click.echo(f"{build_id} gets all new runs. Runs asked to move when they only wait: {asked}.", err=True)
    return ExitCode.OK


@worker.command("drain-status")
@click.argument("build_id", required=False)
@_deployment_option
@output_option
def drain_status(*, build_id: str | None, deployment: str | None, output: Format) -> int:
    """Show what still runs on builds that get no new runs. Exit code 1 while anything does: keep their workers."""
    settings, name = _named(deployment)
    found = [build for build in _builds(settings, name) if build.build_id == build_id or _is_left(build, build_id)]
    if build_id is not None and not found:
        raise click.ClickException(f"the deployment {name!r} has no build {build_id!r}; see agentctl worker list")
    show([_as_json(build) for build in found], output, lambda: _builds_table(found))
    return ExitCode.ERROR if any(build.running for build in found) else ExitCode.OK


def _is_left(build: "Build", build_id: str | None) -> bool:
    return build_id is None and build.share == 0


def _named(deployment: str | None) -> "tuple[Settings, str]":
    settings = operator_settings()
    name = deployment or settings.worker_deployment
    if name is None:
        raise click.UsageError("name the deployment with --deployment, or set WORKER_DEPLOYMENT as its workers have it")
    return settings, name


def _builds(settings: "Settings", name: str) -> "list[Build]":
    from workflows.worker_deployments import WorkerDeployments

    return ask_temporal(settings, lambda temporal: WorkerDeployments(temporal, name).builds())


def _replays(settings: "Settings", build_id: str, limit: int, since: timedelta | None) -> bool:
    from cli.replay_check import report_text, run_replay_check
    from workflows.build_id import build_id as own_build_id
    from workflows.replay_sample import Selection

    here = own_build_id(settings)
    if here != build_id:
        raise click.UsageError(
            f"the code right here is build {here!r}, not {build_id!r}: promote from that build (WORKER_BUILD_ID says "
            "which it is), or with --skip-replay-check"
        )
    started_after = datetime.now(UTC) - since if since is not None else None
    report = run_replay_check(settings, Selection(limit=limit, started_after=started_after))
    click.echo(report_text(report), err=True)
    return not report.failures


async def _promoted(temporal: "Client", name: str, build_id: str, ramp: float | None) -> int | None:
    """How many runs were asked to move; None for a ramp."""
    from workflows.worker_deployments import WorkerDeployments

    deployments = WorkerDeployments(temporal, name)
    if ramp is not None:
        await deployments.ramp(build_id, percent=ramp)
        return None
    await deployments.promote(build_id)
    return await deployments.invite(build_id)


def _as_json(build: "Build") -> dict[str, Any]:
    return {**asdict(build), "created_at": build.created_at.isoformat()}


def _builds_table(found: "Sequence[Build]") -> str:
    rows = [
        (
            build.build_id,
            build.status,
            f"{build.share:g} %",
            str(build.running),
            local_time(build.created_at.isoformat()) or "",
        )
        for build in found
    ]
    return table(("BUILD", "STATUS", "NEW RUNS", "RUNNING", "SINCE"), rows)

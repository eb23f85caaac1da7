"""Two builds of one deployment on a Temporal server of their own: runs stay where they began, and waiting ones move."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from agentflow.ids import new_id
from agentflow.settings import Settings
from cli.embedded.temporal_server import TemporalDevServer
from cli.exit_codes import ExitCode
from cli.main import main
from runs.gate_models import Gate
from tests.scripted_provider import ScriptedProvider
from tests.workflows.documents import dag, projection
from tests.workflows.platform import Platform, platform_settings, running_platform, succeeded, until
from tests.workflows.test_gates import approval, decide, gates
from tests.workflows.test_replay_gate import HastyDag
from workflows.dag_run import UPGRADE, AgentDag
from workflows.map_shard import MapShard
from workflows.replay_gate import ReplayGate
from workflows.replay_sample import Selection
from workflows.service import RunRequest
from workflows.temporal_connection import connect_temporal
from workflows.worker import WORKFLOWS
from workflows.worker_deployments import Build, WorkerDeployments

DEPLOYMENT = "agentflow"


def settings_of(build: str, database_url: str, server: TemporalDevServer, provider: ScriptedProvider) -> Settings:
    return platform_settings(
        database_url,
        provider,
        temporal_address=server.address,
        worker_deployment=DEPLOYMENT,
        worker_build_id=build,
    )


@pytest.fixture(scope="module")
async def own_temporal(own_server: TemporalDevServer) -> Client:
    return await connect_temporal(Settings(temporal_address=own_server.address))


@pytest.fixture(scope="module")
async def builds(
    database_url: str, own_server: TemporalDevServer, own_temporal: Client, provider: ScriptedProvider
) -> AsyncIterator[Platform]:
    """Workers of builds `old` and `new`, of which `old` has been promoted; through the platform runs are submitted."""
    old, new = (settings_of(build, database_url, own_server, provider) for build in ("old", "new"))
    async with (
        running_platform(old, own_temporal, provider, sandboxed=False) as platform,
        running_platform(new, own_temporal, provider, sandboxed=False),
    ):
        await until(lambda: known(own_temporal, {"old", "new"}))
        await WorkerDeployments(own_temporal, DEPLOYMENT).promote("old")
        yield platform


@pytest.fixture
async def deployments(builds: Platform) -> WorkerDeployments:
    """The deployment, with `old` promoted again."""
    deployments = WorkerDeployments(builds.temporal, DEPLOYMENT)
    await deployments.promote("old")
    return deployments


async def known(temporal: Client, wanted: set[str]) -> bool:
    try:
        found = await WorkerDeployments(temporal, DEPLOYMENT).builds()
    except RPCError:
        return False
    return wanted <= {build.build_id for build in found}


async def builds_of(platform: Platform, run_id: str) -> list[str]:
    """The builds that did the workflow tasks of the latest history of a run, each named once where they change."""
    history = await platform.temporal.get_workflow_handle(run_id).fetch_history()
    names = [_build_of(event) for event in history.events if event.HasField("workflow_task_completed_event_attributes")]
    return [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]


def _build_of(event: HistoryEvent) -> str:
    return event.workflow_task_completed_event_attributes.deployment_version.build_id


async def waiting(platform: Platform, org_id: str) -> str:
    """A run that waits for a decision."""
    name = new_id("wf")
    document = dag(name, approval("ask"), projection("after", {"by": "ask.output.by"}, depends=["ask"]))
    await platform.register(org_id, document)
    run_id = await platform.submit(org_id, name, {"text": "the letter"})
    await opened(platform, org_id, run_id)
    return run_id


async def opened(platform: Platform, org_id: str, run_id: str) -> Gate:
    async def look() -> list[Gate]:
        return await gates(platform).list_approvals(org_id=org_id, is_open=True, run_id=run_id, after="", limit=1)

    [gate] = await until(look)
    return gate


async def test_a_run_ends_on_the_build_that_it_began_on_and_new_runs_go_to_the_new_one(
    builds: Platform, deployments: WorkerDeployments, org_id: str
) -> None:
    old_run = await waiting(builds, org_id)

    await deployments.promote("new")
    new_run = await waiting(builds, org_id)
    for run_id in (old_run, new_run):
        await decide(builds, await opened(builds, org_id, run_id))
        succeeded(await builds.ended(org_id, run_id))

    assert ["old"] == await builds_of(builds, old_run)
    assert ["new"] == await builds_of(builds, new_run)


async def test_a_waiting_run_goes_on_with_the_new_build_when_it_is_asked_to(
    builds: Platform, deployments: WorkerDeployments, org_id: str
) -> None:
    run_id = await waiting(builds, org_id)
    handle = builds.temporal.get_workflow_handle(run_id)
    first_history = (await handle.describe()).run_id
    await deployments.promote("new")

    async def moved() -> bool:
        # A run is asked once; where it waits on is another history.
        return first_history != (await handle.describe()).run_id

    async def asked() -> int:
        return await deployments.invite("new")

    assert 1 == await until(asked)
    await until(moved)
    await decide(builds, await opened(builds, org_id, run_id))
    view = succeeded(await builds.ended(org_id, run_id))

    assert ["new"] == await builds_of(builds, run_id)
    assert ["succeeded", "succeeded"] == [node.state.value for node in view.nodes]
    # Both histories, that of the old build with the question in it.
    report = await ReplayGate(WORKFLOWS).check(builds.temporal, Selection(limit=9, run_id=run_id))
    assert (2, []) == (report.replayed, report.failures)


async def test_a_long_run_goes_on_with_the_new_build_when_its_history_is_long(
    builds: Platform, deployments: WorkerDeployments, org_id: str
) -> None:
    name = new_id("wf")
    steps = [projection("n0", depends=["ask"])]
    steps += [projection(f"n{n}", depends=[f"n{n - 1}"]) for n in range(1, 6)]
    await builds.register(org_id, dag(name, approval("ask"), *steps))
    request = RunRequest(
        workflow_name=name,
        workflow_version=None,
        inputs={"text": "the letter"},
        budget_micro_usd=None,
        idempotency_key=None,
    )
    run = await builds.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    start = RunStart(run=reference, history_limit_events=30)
    await builds.temporal.start_workflow(AgentDag.run, start, id=run.run_id, task_queue=RUNS_QUEUE)
    gate = await opened(builds, org_id, run.run_id)

    await deployments.promote("new")
    await decide(builds, gate)
    succeeded(await builds.ended(org_id, run.run_id))

    assert ["new"] == await builds_of(builds, run.run_id)


async def test_a_run_that_is_asked_without_a_newer_build_waits_where_it_is(
    builds: Platform, deployments: WorkerDeployments, org_id: str
) -> None:
    run_id = await waiting(builds, org_id)
    handle = builds.temporal.get_workflow_handle(run_id)
    before = (await handle.describe()).run_id

    await handle.signal(UPGRADE)
    await decide(builds, await opened(builds, org_id, run_id))
    succeeded(await builds.ended(org_id, run_id))

    assert before == (await handle.describe()).run_id
    assert 0 == await deployments.invite("old")


async def test_builds_are_listed_with_their_share_of_new_runs_and_what_runs_on_them(
    builds: Platform, deployments: WorkerDeployments, org_id: str
) -> None:
    run_id = await waiting(builds, org_id)
    await deployments.ramp("new", percent=25)

    async def counted() -> dict[str, Build] | None:
        found = {build.build_id: build for build in await deployments.builds()}
        return found if found["old"].running == 1 else None

    found = await until(counted)

    assert {"old": 75.0, "new": 25.0} == {build.build_id: build.share for build in found.values()}
    assert ("current", "ramping") == (found["old"].status, found["new"].status)
    await deployments.promote("old")
    assert {"old": 100.0, "new": 0.0} == {build.build_id: build.share for build in await deployments.builds()}
    await decide(builds, await opened(builds, org_id, run_id))
    succeeded(await builds.ended(org_id, run_id))


@pytest.fixture
def operator(own_server: TemporalDevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the new build's workers."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", own_server.address)
    monkeypatch.setenv("WORKER_DEPLOYMENT", DEPLOYMENT)
    monkeypatch.setenv("WORKER_BUILD_ID", "new")


async def command(*arguments: str) -> int:
    return await asyncio.to_thread(main, ["worker", *arguments])


@pytest.mark.usefixtures("operator", "deployments")
async def test_an_operator_promotes_a_build_and_waits_until_the_old_one_is_left(
    builds: Platform, org_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = await waiting(builds, org_id)

    async def counted() -> bool:
        return ExitCode.ERROR == await command("drain-status", "old")

    await until(counted)
    assert ExitCode.OK == await command("promote", "new", "--limit", "20")
    assert "0 failed." in (told := capsys.readouterr().err)
    assert "new gets all new runs. Runs asked to move when they only wait: 1." in told

    async def drained() -> bool:
        return ExitCode.OK == await command("drain-status")

    await until(drained)
    assert "old    draining  0 %       0" in capsys.readouterr().out
    await decide(builds, await opened(builds, org_id, run_id))
    succeeded(await builds.ended(org_id, run_id))
    assert ["new"] == await builds_of(builds, run_id)


@pytest.mark.usefixtures("operator", "deployments")
async def test_a_build_that_does_not_replay_what_there_is_is_not_promoted(
    builds: Platform, org_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = await waiting(builds, org_id)
    monkeypatch.setattr("workflows.worker.WORKFLOWS", (HastyDag, MapShard))

    assert ExitCode.ERROR == await command("promote", "new")

    told = capsys.readouterr().err
    assert "TMPRL1100" in told
    assert "new is not promoted." in told
    found = {build.build_id: build.share for build in await WorkerDeployments(builds.temporal, DEPLOYMENT).builds()}
    assert {"old": 100.0, "new": 0.0} == found
    assert ExitCode.OK == await command("promote", "new", "--skip-replay-check", "--ramp", "10")
    assert "new gets 10 % of new runs." in capsys.readouterr().err
    await decide(builds, await opened(builds, org_id, run_id))
    succeeded(await builds.ended(org_id, run_id))


@pytest.mark.usefixtures("operator", "builds")
async def test_only_the_code_of_a_build_can_vouch_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.USAGE == await command("promote", "old")
    assert "the code right here is build 'new', not 'old'" in capsys.readouterr().err


@pytest.mark.usefixtures("operator", "builds")
async def test_a_build_or_a_deployment_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.ERROR == await command("drain-status", "older")
    assert "has no build 'older'" in capsys.readouterr().err
    assert ExitCode.ERROR == await command("list", "--deployment", "another")
    assert "refuses: " in capsys.readouterr().err
    assert ExitCode.ERROR == await command("promote", "older", "--skip-replay-check")
    assert "older" in capsys.readouterr().err

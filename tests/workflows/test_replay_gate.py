"""Histories of a live server against the code that wrote them, and against code that does something else."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import workflow

from activities.payloads import RunResult, RunStart
from agentflow.ids import new_id
from cli.embedded.temporal_server import TemporalDevServer
from cli.exit_codes import ExitCode
from cli.main import main
from tests.workflows.documents import dag, large_map, projection
from tests.workflows.platform import Platform, succeeded
from workflows.map_shard import MapShard
from workflows.replay_gate import ReplayGate
from workflows.replay_sample import Selection
from workflows.worker import WORKFLOWS


@workflow.defn(name="AgentDag")
class HastyDag:
    """What a careless change to the interpreter would be: a run without its opening."""

    @workflow.run
    async def run(self, start: RunStart) -> RunResult:
        return RunResult(state="succeeded", outputs_digest=start.run.inputs_digest)


@pytest.fixture
def name() -> str:
    return new_id("wf")


async def chain(platform: Platform, org_id: str, name: str) -> str:
    document = dag(name, projection("one", {"v": "1"}), projection("two", {"v": "one.output.v"}, depends=["one"]))
    return succeeded(await platform.run(org_id, document)).run.run_id


async def test_what_this_code_wrote_it_can_go_on_with(platform: Platform, org_id: str, name: str) -> None:
    for _ in range(2):
        await chain(platform, org_id, name)

    seen: list[int] = []
    gate = ReplayGate(WORKFLOWS)
    report = await gate.check(
        platform.temporal,
        Selection(limit=5, workflow_name=name),
        on_progress=lambda state: seen.append(state.replayed),
    )

    assert (2, 0, []) == (report.replayed, report.gone, report.failures)
    assert [1, 2] == seen


async def test_code_that_does_something_else_is_found_out(platform: Platform, org_id: str, name: str) -> None:
    run_id = await chain(platform, org_id, name)

    report = await ReplayGate([HastyDag, MapShard]).check(platform.temporal, Selection(limit=5, run_id=run_id))

    [failure] = report.failures
    assert (1, run_id, 4) == (report.replayed, failure.workflow_id, failure.event_id)
    assert "TMPRL1100" in failure.cause


async def test_a_run_is_replayed_with_its_shards_and_a_sample_has_some_of_each(
    platform: Platform, org_id: str, name: str
) -> None:
    document = dag(name, large_map("each", "inputs.numbers", {"v": "item"}, batch=1, window=50))
    run_id = succeeded(await platform.run(org_id, document, {"numbers": list(range(450))})).run.run_id
    for version in (2, 3):
        succeeded(await platform.run(org_id, dag(name, projection("one"), version=version)))
    hasty = ReplayGate([HastyDag, MapShard])

    whole = await ReplayGate(WORKFLOWS).check(platform.temporal, Selection(limit=50, run_id=run_id))
    sampled = await hasty.check(platform.temporal, Selection(limit=2, workflow_name=name))

    assert (2, []) == (whole.replayed, whole.failures)
    # The latest run, which fails, and the shard, which does not.
    assert (2, 1) == (sampled.replayed, len(sampled.failures))
    assert run_id != sampled.failures[0].workflow_id


async def test_what_started_too_early_is_not_looked_at(platform: Platform, org_id: str, name: str) -> None:
    run_id = await chain(platform, org_id, name)
    gate, now = ReplayGate(WORKFLOWS), datetime.now(UTC)

    later = await gate.check(
        platform.temporal, Selection(limit=5, run_id=run_id, started_after=now + timedelta(hours=1))
    )
    earlier = await gate.check(
        platform.temporal, Selection(limit=5, run_id=run_id, started_after=now - timedelta(hours=1))
    )

    assert (0, 1) == (later.replayed, earlier.replayed)


async def test_an_id_with_a_quote_selects_nothing_but_itself(platform: Platform) -> None:
    report = await ReplayGate(WORKFLOWS).check(
        platform.temporal, Selection(limit=5, run_id="x' OR WorkflowId STARTS_WITH 'run")
    )

    assert 0 == report.replayed


@pytest.fixture
def operator(temporal_server: TemporalDevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_server.address)


@pytest.mark.usefixtures("operator")
async def test_an_operator_checks_from_the_command_line(
    platform: Platform, org_id: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = await chain(platform, org_id, name)
    arguments = ["workflow", "replay-check", "--run", run_id, "--since", "1h", "-o", "json"]

    code = await asyncio.to_thread(main, arguments)

    assert ExitCode.OK == code
    assert {"replayed": 1, "gone": 0, "failures": []} == json.loads(capsys.readouterr().out)

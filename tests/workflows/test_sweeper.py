"""What a dead process left half done is finished by any worker's sweeper."""

from datetime import timedelta
from typing import Any

from activities.payloads import RunRef, RunStart
from agentflow.clock import Clock
from runs.models import RunState
from runs.run_view import RunView
from tests.scripted_provider import Hold
from tests.workflows.documents import dag, llm, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.dag_run import AgentDag
from workflows.run_start import start_run
from workflows.service import RunRequest
from workflows.sweeper import Sweeper


class LaterClock:
    """The platform's clock, some time from now."""

    def __init__(self, clock: Clock, ahead: timedelta) -> None:
        self._clock, self._ahead = clock, ahead

    def now(self) -> Any:
        return self._clock.now() + self._ahead


def sweeper(platform: Platform, *, ahead: timedelta) -> Sweeper:
    clock = LaterClock(platform.resources.clock, ahead)
    return Sweeper(platform.resources.database, platform.temporal, clock)


def request(name: str) -> RunRequest:
    return RunRequest(workflow_name=name, workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None)


async def swept(platform: Platform, org_id: str, run_id: str, *, ahead: timedelta) -> RunView:
    """The run once it has ended; sweeps go on until then, because one takes so many runs and leaves what fails."""
    sweeping = sweeper(platform, ahead=ahead)

    async def look() -> RunView | None:
        await sweeping.sweep()
        view = await platform.service.get_run(org_id=org_id, run_id=run_id)
        return view if view.run.state.is_final else None

    return await until(look, f"sweeps to end run {run_id}")


async def test_a_run_that_was_recorded_and_never_started_is_started(platform: Platform, org_id: str) -> None:
    await platform.register(org_id, dag("forgotten", projection("only", {"v": "7"}), outputs={"v": "only.output.v"}))
    run = await platform.service.record(org_id=org_id, request=request("forgotten"))

    view = await swept(platform, org_id, run.run_id, ahead=timedelta(seconds=10))

    assert {"v": 7} == succeeded(view).outputs


async def test_starting_a_run_that_has_been_started_changes_nothing(platform: Platform, org_id: str) -> None:
    await platform.register(org_id, dag("twice", projection("only", {})))
    run = await platform.service.record(org_id=org_id, request=request("twice"))

    await start_run(platform.temporal, run)
    succeeded(await platform.ended(org_id, run.run_id))
    await start_run(platform.temporal, run)

    assert [1] == [step.fence for step in await platform.steps(org_id, run.run_id)]


async def test_a_cancellation_that_did_not_reach_temporal_is_delivered(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Undelivered {{ content }}")
    platform.provider.hold_again()
    before = len(platform.provider.requests)
    platform.provider.script(Hold())
    await platform.register(org_id, dag("undelivered", llm("ask", "'x'")))
    run_id = await platform.submit(org_id, "undelivered")
    await platform.provider.received(before + 1)
    await platform.rows(
        "UPDATE runs SET cancel_requested_at = now() WHERE run_id = :run_id RETURNING run_id", run_id=run_id
    )

    view = await swept(platform, org_id, run_id, ahead=timedelta(seconds=10))

    assert RunState.CANCELLED == view.run.state


async def test_a_run_whose_workflow_was_terminated_from_outside_is_closed(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Terminated {{ content }}")
    platform.provider.hold_again()
    before = len(platform.provider.requests)
    platform.provider.script(Hold())
    await platform.register(org_id, dag("terminated", llm("ask", "'x'")))
    run_id = await platform.submit(org_id, "terminated")
    await platform.provider.received(before + 1)
    await platform.temporal.get_workflow_handle(run_id).terminate("by a test")

    view = await swept(platform, org_id, run_id, ahead=timedelta(minutes=2))

    assert (RunState.FAILED, "run.lost") == (view.run.state, view.run.error_code)
    assert "terminated" in str(view.run.error_message)


async def test_a_run_whose_workflow_was_terminated_before_it_opened_is_closed(platform: Platform, org_id: str) -> None:
    await platform.register(org_id, dag("unopened", projection("only", {})))
    run = await platform.service.record(org_id=org_id, request=request("unopened"))
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference), id=run.run_id, task_queue="a queue that nobody polls"
    )
    await handle.terminate("by a test")

    view = await swept(platform, org_id, run.run_id, ahead=timedelta(seconds=10))

    assert (RunState.FAILED, "run.lost") == (view.run.state, view.run.error_code)


async def test_a_run_that_still_works_is_left_alone(platform: Platform, org_id: str) -> None:
    await platform.prompt(org_id, "ask", "Alive {{ content }}")
    platform.provider.hold_again()
    before = len(platform.provider.requests)
    platform.provider.script(Hold())
    await platform.register(org_id, dag("alive", llm("ask", "'x'")))
    run_id = await platform.submit(org_id, "alive")
    await platform.provider.received(before + 1)

    await sweeper(platform, ahead=timedelta(minutes=2)).sweep()
    platform.provider.release()

    assert RunState.SUCCEEDED == (await platform.ended(org_id, run_id)).run.state


async def test_a_crashed_callers_money_becomes_uncertain(platform: Platform, org_id: str) -> None:
    await platform.rows(
        "INSERT INTO reservations (reservation_id, org_id, run_id, provider, model, ceiling_micro_usd, state,"
        " budget_ids, window_starts, created_at, expires_at)"
        " VALUES (:call, :org_id, 'run_x', 'openai', 'm', 5, 'held', '{}', '{}', now(), now() - interval '1 second')"
        " RETURNING 1",
        call=f"call_{org_id}",
        org_id=org_id,
    )

    await sweeper(platform, ahead=timedelta()).sweep()

    async def states() -> list[dict[str, Any]]:
        return await platform.rows("SELECT state FROM reservations WHERE org_id = :org_id", org_id=org_id)

    assert [{"state": "uncertain"}] == await until(states)

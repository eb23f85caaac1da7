"""Caps on runs, on a real Temporal server: what waits, what starts it, and who does when nobody is left to."""

from datetime import timedelta

from runs.admission_models import OrganisationLimits
from runs.admission_repository import AdmissionRepository
from runs.models import RunState
from runs.run_view import RunView
from tests.workflows.documents import dag, projection
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_reruns import reruns
from tests.workflows.test_sweeper import sweeper
from workflows.rerun_service import RerunRequest

#: Goes on for as long as nobody cancels it.
ENDLESS = {"id": "hold", "type": "wait", "config": {"event": "never"}}


async def limit(platform: Platform, org_id: str, running: int | None, queued: int | None = None) -> None:
    limits = OrganisationLimits(org_id=org_id, max_running_runs=running, max_queued_runs=queued)
    async with platform.resources.database.transaction() as session:
        await AdmissionRepository(session).set_limits(limits)


async def view(platform: Platform, org_id: str, run_id: str) -> RunView:
    return await platform.service.get_run(org_id=org_id, run_id=run_id)


async def begun(platform: Platform, org_id: str, run_id: str) -> None:
    async def look() -> bool:
        return (await view(platform, org_id, run_id)).run.state is RunState.RUNNING

    await until(look)


async def test_a_run_beyond_the_cap_starts_when_the_one_before_it_ends(platform: Platform, org_id: str) -> None:
    await limit(platform, org_id, 1)
    await platform.register(org_id, dag("endless", ENDLESS))
    await platform.register(org_id, dag("short", projection("only", {"v": "7"}), outputs={"v": "only.output.v"}))
    first = await platform.submit(org_id, "endless")
    second, third = await platform.submit(org_id, "short"), await platform.submit(org_id, "short")
    await begun(platform, org_id, first)

    waiting = [await view(platform, org_id, run_id) for run_id in (second, third)]
    assert [(RunState.SUBMITTED, True, 1), (RunState.SUBMITTED, True, 2)] == [
        (each.run.state, each.run.is_queued, each.queue_place) for each in waiting
    ]

    # No sweeper looks here: whoever closes a run starts the next.
    await platform.service.cancel(org_id=org_id, run_id=first)
    views = [succeeded(await platform.ended(org_id, run_id)) for run_id in (second, third)]

    assert [({"v": 7}, None), ({"v": 7}, None)] == [(each.outputs, each.queue_place) for each in views]
    assert views[0].run.finished_at is not None
    assert views[1].run.admitted_at is not None
    assert views[1].run.admitted_at >= views[0].run.finished_at - timedelta(seconds=1)


async def test_a_re_run_waits_for_its_turn_like_any_run(platform: Platform, org_id: str) -> None:
    await platform.register(org_id, dag("again", projection("only", {"v": "7"})))
    await platform.register(org_id, dag("endless", ENDLESS))
    earlier = succeeded(await platform.ended(org_id, await platform.submit(org_id, "again")))
    await limit(platform, org_id, 1)
    first = await platform.submit(org_id, "endless")

    request = RerunRequest(run_id=earlier.run.run_id, from_nodes=("only",), changes={})
    repeated = (await reruns(platform).rerun(org_id=org_id, request=request)).run

    assert repeated.is_queued
    await platform.service.cancel(org_id=org_id, run_id=first)
    succeeded(await platform.ended(org_id, repeated.run_id))


async def test_a_run_that_was_let_in_by_a_process_that_died_is_started_by_the_sweeper(
    platform: Platform, org_id: str
) -> None:
    await limit(platform, org_id, 1)
    await platform.register(org_id, dag("endless", ENDLESS))
    await platform.register(org_id, dag("orphan", projection("only", {})))
    first = await platform.submit(org_id, "endless")
    second = await platform.submit(org_id, "orphan")
    await begun(platform, org_id, first)
    await platform.rows("UPDATE runs SET admitted_at = now() WHERE run_id = :run_id RETURNING run_id", run_id=second)

    await sweeper(platform, ahead=timedelta(seconds=10)).sweep()

    succeeded(await platform.ended(org_id, second))
    await platform.service.cancel(org_id=org_id, run_id=first)


async def test_the_sweeper_lets_in_what_has_room_and_leaves_what_has_none(platform: Platform, org_id: str) -> None:
    await limit(platform, org_id, 1)
    await platform.register(org_id, dag("endless", ENDLESS))
    runs = [await platform.submit(org_id, "endless") for _ in range(3)]
    await begun(platform, org_id, runs[0])

    await sweeper(platform, ahead=timedelta(seconds=10)).sweep()
    before = [(await view(platform, org_id, run_id)).run.is_queued for run_id in runs]
    # As if the process that ended the first had died before it could let the next one in.
    await limit(platform, org_id, 2)
    await sweeper(platform, ahead=timedelta(seconds=10)).sweep()

    assert [False, True, True] == before
    await begun(platform, org_id, runs[1])
    assert (await view(platform, org_id, runs[2])).run.is_queued
    for run_id in reversed(runs):
        await platform.service.cancel(org_id=org_id, run_id=run_id)
    assert RunState.CANCELLED == (await view(platform, org_id, runs[2])).run.state
    assert RunState.CANCELLED == (await platform.ended(org_id, runs[1])).run.state

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from runs.models import NewRun, Run, RunState, Spec, StepUsage
from runs.plan import NodeState
from runs.repository import RunRepository
from tests.integration.runs.records import OUTPUT, Journal, Runs, new_run, request

pytestmark = pytest.mark.integration

#: Sorts after every run id.
NEWEST = "~"


@pytest.fixture
def runs(database: Database, clock: SystemClock) -> Runs:
    return Runs(database, clock)


def spec(org_id: str, now: datetime, *, name: str = "digest", version: int = 1, document: str = "nodes: []") -> Spec:
    return Spec(org_id=org_id, name=name, version=version, digest=f"of {document}", document=document, created_at=now)


async def finish(
    database: Database, run: NewRun, now: datetime, *, state: RunState = RunState.SUCCEEDED, error: str | None = None
) -> None:
    async with database.transaction() as session:
        await RunRepository(session).finish_run(
            org_id=run.org_id,
            run_id=run.run_id,
            state=state,
            now=now,
            node_states={"split": NodeState.SUCCEEDED, "join": NodeState(state)},
            outputs_digest=None if error else "o",
            error_code=error,
            error_message="it went wrong" if error else None,
            failed_node="join" if error else None,
        )


async def mark_running(database: Database, run: NewRun, now: datetime) -> None:
    async with database.transaction() as session:
        await RunRepository(session).mark_running(org_id=run.org_id, run_id=run.run_id, now=now)


async def request_cancel(database: Database, run: NewRun, now: datetime) -> bool:
    async with database.transaction() as session:
        return await RunRepository(session).request_cancel(org_id=run.org_id, run_id=run.run_id, now=now)


async def test_a_spec_is_read_back_by_its_version_and_as_the_latest(
    database: Database, clock: SystemClock, org_id: str
) -> None:
    first, tenth, second = (
        spec(org_id, clock.now(), version=version, document=f"version: {version}") for version in (1, 10, 2)
    )
    async with database.transaction() as session:
        repository = RunRepository(session)
        assert [True] * 3 == [await repository.add_spec(each) for each in (first, tenth, second)]

        assert first == await repository.get_spec(org_id=org_id, name="digest", version=1)
        assert tenth == await repository.get_spec(org_id=org_id, name="digest", version=None)


async def test_a_version_of_a_spec_is_never_replaced(database: Database, clock: SystemClock, org_id: str) -> None:
    kept = spec(org_id, clock.now())

    async def add(each: Spec) -> bool:
        async with database.transaction() as session:
            return await RunRepository(session).add_spec(each)

    added = await asyncio.gather(*(add(kept) for _ in range(20)))

    assert 1 == sum(added)
    assert not await add(replace(kept, document="other"))
    async with database.transaction() as session:
        assert kept == await RunRepository(session).get_spec(org_id=org_id, name="digest", version=1)


@pytest.mark.parametrize("version", [2, 0, -1, 2**31, 2**63, 10**30])
async def test_a_version_of_a_spec_that_is_not_there_is_none(
    database: Database, clock: SystemClock, org_id: str, version: int
) -> None:
    async with database.transaction() as session:
        repository = RunRepository(session)
        await repository.add_spec(spec(org_id, clock.now()))

        assert await repository.get_spec(org_id=org_id, name="digest", version=version) is None
        assert await repository.get_spec(org_id=org_id, name="other", version=None) is None


async def test_specs_come_in_pages_by_name_in_their_latest_version_without_documents(
    database: Database, clock: SystemClock, org_id: str
) -> None:
    async with database.transaction() as session:
        repository = RunRepository(session)
        for name, version in (("cherry", 1), ("apple", 1), ("apple", 2), ("banana", 3)):
            await repository.add_spec(spec(org_id, clock.now(), name=name, version=version))

        first = await repository.list_specs(org_id=org_id, after="", limit=2)
        second = await repository.list_specs(org_id=org_id, after=first[-1].name, limit=2)

    assert [("apple", 2), ("banana", 3), ("cherry", 1)] == [(each.name, each.version) for each in (*first, *second)]
    assert {""} == {each.document for each in (*first, *second)}


async def test_a_run_is_read_back_as_it_was_recorded(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    run, before = new_run(org_id, key="k"), clock.now()

    assert await runs.add(run)

    found = await runs.get(run)
    expected = Run(
        **{name: getattr(run, name) for name in NewRun.__slots__ if name != "parent"},
        state=RunState.SUBMITTED,
        cost_micro_usd=MicroUsd(0),
        created_at=found.created_at,
        started_at=None,
        finished_at=None,
        cancel_requested_at=None,
        outputs_digest=None,
        error_code=None,
        error_message=None,
        failed_node=None,
        node_states={},
        admitted_at=found.admitted_at,
    )
    assert expected == found
    assert before <= found.created_at <= clock.now()
    async with database.transaction() as session:
        assert found == await RunRepository(session).get_run_by_key(org_id=org_id, idempotency_key="k")


async def test_an_idempotency_key_gives_one_run_to_fifty_requests_at_once(
    runs: Runs, database: Database, org_id: str
) -> None:
    wanted = [new_run(org_id, key="k") for _ in range(50)]

    added = await asyncio.gather(*(runs.add(run) for run in wanted))

    (kept,) = [run for run, is_added in zip(wanted, added, strict=True) if is_added]
    async with database.transaction() as session:
        repository = RunRepository(session)
        found = await repository.get_run_by_key(org_id=org_id, idempotency_key="k")
        listed = await repository.list_runs(org_id=org_id, before=NEWEST, limit=100, workflow_name=None, state=None)
    assert found is not None
    assert [kept.run_id] == [found.run_id] == [run.run_id for run in listed]


async def test_runs_without_a_key_and_keys_of_other_organisations_do_not_meet(runs: Runs, org_id: str) -> None:
    wanted = [new_run(org_id), new_run(org_id), new_run(org_id, key="k"), new_run(new_id("org"), key="k")]

    assert [True] * 4 == [await runs.add(run) for run in wanted]


async def test_a_run_costs_what_its_own_steps_cost(runs: Runs, database: Database, org_id: str) -> None:
    run, other, strangers = new_run(org_id), new_run(org_id), new_run(new_id("org"))
    journal = Journal(database)
    for each in (run, other, strangers):
        await runs.add(each)
    price = StepUsage(cost_micro_usd=MicroUsd(3_000_000_000))

    await journal.commit(await journal.hold(request(org_id, run.run_id, "split")), OUTPUT, price)
    await journal.fail(await journal.hold(request(org_id, run.run_id, "join")), cost=MicroUsd(5))
    await journal.commit(await journal.hold(request(strangers.org_id, run.run_id, "split")), OUTPUT, price)

    assert 3_000_000_005 == (await runs.get(run)).cost_micro_usd
    assert (0, 0) == ((await runs.get(other)).cost_micro_usd, (await runs.get(strangers)).cost_micro_usd)


async def test_runs_come_in_pages_from_the_latest_on_and_by_name_and_state(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    names = ["digest", "translate", "digest", "digest"]
    made = [replace(new_run(org_id, workflow_name=name), run_id=f"{org_id}_{at}") for at, name in enumerate(names)]
    for run in made:
        await runs.add(run)
    await mark_running(database, made[2], clock.now())

    async def page(
        before: str = NEWEST, *, limit: int = 10, name: str | None = None, state: RunState | None = None
    ) -> list[str]:
        async with database.transaction() as session:
            found = await RunRepository(session).list_runs(
                org_id=org_id, before=before, limit=limit, workflow_name=name, state=state
            )
        return [run.run_id.rpartition("_")[2] for run in found]

    assert (["3", "2"], ["1", "0"]) == (await page(limit=2), await page(made[2].run_id, limit=2))
    assert [] == await page(made[0].run_id)
    assert ["3", "2", "0"] == await page(name="digest")
    assert ["2"] == await page(state=RunState.RUNNING)
    assert ["3", "0"] == await page(name="digest", state=RunState.SUBMITTED)
    assert [] == await page(name="translate", state=RunState.RUNNING)


async def test_a_run_goes_from_submitted_over_running_to_its_end(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    run, started = new_run(org_id), clock.now()
    await runs.add(run)

    await mark_running(database, run, started)
    await mark_running(database, run, started + timedelta(seconds=5))
    running = await runs.get(run)
    await finish(database, run, started + timedelta(seconds=9))
    ended = await runs.get(run)

    assert (RunState.RUNNING, started, None) == (running.state, running.started_at, running.finished_at)
    assert (RunState.SUCCEEDED, started, started + timedelta(seconds=9), "o") == (
        ended.state,
        ended.started_at,
        ended.finished_at,
        ended.outputs_digest,
    )
    assert {"split": NodeState.SUCCEEDED, "join": NodeState.SUCCEEDED} == ended.node_states


async def test_a_run_that_ended_keeps_its_first_end_and_never_runs_again(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    run, now = new_run(org_id), clock.now()
    await runs.add(run)
    await finish(database, run, now, state=RunState.FAILED, error="cas.down")
    first = await runs.get(run)

    await finish(database, run, now + timedelta(seconds=5))
    await mark_running(database, run, now)
    assert not await request_cancel(database, run, now)

    assert first == await runs.get(run)
    assert (RunState.FAILED, "cas.down", "it went wrong", "join", None) == (
        first.state,
        first.error_code,
        first.error_message,
        first.failed_node,
        first.outputs_digest,
    )


async def test_of_twenty_ends_at_once_one_is_kept_whole(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    run, now = new_run(org_id), clock.now()
    await runs.add(run)
    ends = [(RunState.SUCCEEDED, None), (RunState.FAILED, "cas.down")] * 10

    await asyncio.gather(*(finish(database, run, now, state=state, error=error) for state, error in ends))

    ended = await runs.get(run)
    assert (ended.state, ended.error_code) in ends
    assert NodeState(ended.state) == ended.node_states["join"]
    assert (ended.outputs_digest is None) == (ended.error_code is not None)


async def test_the_first_wish_to_cancel_counts(runs: Runs, database: Database, clock: SystemClock, org_id: str) -> None:
    run, now = new_run(org_id), clock.now()
    await runs.add(run)

    assert await request_cancel(database, run, now)
    assert await request_cancel(database, run, now + timedelta(seconds=5))

    found = await runs.get(run)
    assert (RunState.SUBMITTED, now) == (found.state, found.cancel_requested_at)


async def test_a_run_that_is_not_there_is_none_and_cannot_be_cancelled(
    database: Database, clock: SystemClock, org_id: str
) -> None:
    assert not await request_cancel(database, new_run(org_id), clock.now())
    async with database.transaction() as session:
        repository = RunRepository(session)
        assert await repository.get_run(org_id=org_id, run_id="run_1") is None
        assert await repository.get_run_by_key(org_id=org_id, idempotency_key="k") is None


async def test_the_sweeper_finds_runs_of_all_organisations_by_where_they_are_stuck(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    submitted, running, cancelling, ended = (new_run(org_id if at % 2 else new_id("org")) for at in range(4))
    for run in (submitted, running, cancelling, ended):
        await runs.add(run)
    now = clock.now()
    for run in (running, cancelling, ended):
        await mark_running(database, run, now)
    for run in (cancelling, ended):
        await request_cancel(database, run, now)
    await finish(database, ended, now)
    ours = {run.run_id for run in (submitted, running, cancelling, ended)}
    later = now + timedelta(seconds=1)

    async with database.transaction() as session:
        repository = RunRepository(session)
        unstarted = await repository.unstarted_runs(before=later, limit=10_000)
        to_cancel = await repository.cancelling_runs(before=later, limit=10_000)
        at_work = await repository.running_runs(before=later, after="", limit=10_000)
        nothing = [
            *await repository.unstarted_runs(before=now - timedelta(hours=1), limit=10_000),
            *await repository.cancelling_runs(before=now, limit=10_000),
            *await repository.running_runs(before=now, after="", limit=10_000),
        ]

    assert {submitted.run_id} == {run.run_id for run in unstarted} & ours
    assert {cancelling.run_id} == {run.run_id for run in to_cancel} & ours
    # Ids of one millisecond stand in no order.
    assert sorted([running.run_id, cancelling.run_id]) == [run.run_id for run in at_work if run.run_id in ours]
    assert set() == {run.run_id for run in nothing} & ours


async def test_the_sweeper_reads_running_runs_in_pages(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    made = [replace(new_run(org_id), run_id=f"{org_id}_{at}") for at in range(3)]
    for run in made:
        await runs.add(run)
        await mark_running(database, run, clock.now())
    later = clock.now() + timedelta(seconds=1)

    async with database.transaction() as session:
        repository = RunRepository(session)
        first = await repository.running_runs(before=later, after=f"{org_id}_", limit=2)
        second = await repository.running_runs(before=later, after=first[-1].run_id, limit=1)

    assert [run.run_id for run in made] == [run.run_id for run in (*first, *second)]


async def test_one_organisations_runs_and_specs_are_out_of_reach_of_another(
    runs: Runs, database: Database, clock: SystemClock, org_id: str
) -> None:
    run, strangers, now = new_run(org_id, key="k"), new_id("org"), clock.now()
    await runs.add(run)
    before = await runs.get(run)
    theirs = replace(run, org_id=strangers)
    async with database.transaction() as session:
        repository = RunRepository(session)
        await repository.add_spec(spec(org_id, now))

        assert await repository.get_spec(org_id=strangers, name="digest", version=1) is None
        assert await repository.get_spec(org_id=strangers, name="digest", version=None) is None
        assert [] == await repository.list_specs(org_id=strangers, after="", limit=10)
        assert await repository.get_run(org_id=strangers, run_id=run.run_id) is None
        assert await repository.get_run_by_key(org_id=strangers, idempotency_key="k") is None
        assert [] == await repository.list_runs(
            org_id=strangers, before=NEWEST, limit=10, workflow_name=None, state=None
        )

    assert not await request_cancel(database, theirs, now)
    await mark_running(database, theirs, now)
    await finish(database, theirs, now)
    assert before == await runs.get(run)

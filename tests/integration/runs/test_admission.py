"""Who may start: caps, turns and refusals, with submissions and ends racing on several connections."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from agentflow.clock import SystemClock
from agentflow.database import Database, with_psycopg_driver
from agentflow.ids import new_id
from agentflow.schema_migration import upgrade_schema
from runs.admission import Admission
from runs.admission_models import (
    NO_CAPS,
    AdmissionDefaults,
    OrganisationLimits,
    RunCounts,
    fairness_key_of,
)
from runs.admission_repository import AdmissionRepository
from runs.errors import RunQueueFull
from runs.models import NewRun, Run, RunState
from runs.repository import RunRepository
from tests.deadline import deadline
from tests.integration.runs.records import new_run

pytestmark = pytest.mark.integration


class Gatekeeper:
    """Submissions and ends of runs, a transaction each, as the edges make them."""

    def __init__(self, database: Database, defaults: AdmissionDefaults = NO_CAPS) -> None:
        self._database, self._defaults = database, defaults

    async def submit(self, run: NewRun) -> list[str] | None:
        """The ids of the runs that this one's recording lets in."""
        async with self._database.transaction() as session:
            admission = Admission(session, self._defaults)
            limits = await admission.limits(org_id=run.org_id)
            admitted = await admission.record(run, limits, now=SystemClock().now())
        return [each.run_id for each in admitted] if admitted is not None else None

    async def submit_many(self, org_id: str, count: int) -> list[str]:
        """Their ids, in the order of recording."""
        # Ids of one millisecond stand in no order.
        made = [replace(new_run(org_id), run_id=f"{new_id('run')}_{place:04}") for place in range(count)]
        made.sort(key=lambda run: run.run_id)
        for run in made:
            await self.submit(run)
        return [run.run_id for run in made]

    async def end(self, org_id: str, run_id: str) -> list[str]:
        """The ids of the runs that are let in instead."""
        async with self._database.transaction() as session:
            await RunRepository(session).finish_run(
                org_id=org_id,
                run_id=run_id,
                state=RunState.SUCCEEDED,
                now=SystemClock().now(),
                node_states={},
                outputs_digest=None,
                error_code=None,
                error_message=None,
                failed_node=None,
            )
            return [run.run_id for run in await Admission(session, self._defaults).admit_next(org_id=org_id)]

    async def limit(self, limits: OrganisationLimits) -> None:
        async with self._database.transaction() as session:
            await AdmissionRepository(session).set_limits(limits)

    async def counts(self, org_id: str) -> RunCounts:
        async with self._database.transaction() as session:
            return await AdmissionRepository(session).counts(org_id=org_id)

    async def place(self, org_id: str, run_id: str) -> int:
        async with self._database.transaction() as session:
            return await AdmissionRepository(session).place(org_id=org_id, run_id=run_id)

    async def cancel_queued(self, org_id: str, run_id: str) -> bool:
        async with self._database.transaction() as session:
            return await AdmissionRepository(session).cancel_queued(
                org_id=org_id, run_id=run_id, now=SystemClock().now()
            )

    async def run(self, org_id: str, run_id: str) -> Run:
        async with self._database.transaction() as session:
            found = await RunRepository(session).get_run(org_id=org_id, run_id=run_id)
        assert found is not None
        return found


@pytest.fixture
def gate(database: Database) -> Gatekeeper:
    return Gatekeeper(database)


@pytest.fixture
async def own_database(postgres_url: str) -> AsyncIterator[Database]:
    """A database whose runs are all the test's own: for a cap on the runs of everyone."""
    name = new_id("test")
    server = create_engine(with_psycopg_driver(postgres_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    url = server.url.set(database=name).render_as_string(hide_password=False)
    upgrade_schema(url)
    database = Database(url)
    yield database
    await database.close()
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    server.dispose()


async def test_without_caps_every_run_is_let_in_when_it_is_recorded(gate: Gatekeeper, org_id: str) -> None:
    await gate.submit_many(org_id, 3)

    assert RunCounts(running=3, queued=0) == await gate.counts(org_id)


async def test_runs_beyond_the_cap_wait_and_are_let_in_oldest_first(gate: Gatekeeper, org_id: str) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=2))
    first, second, third, fourth = await gate.submit_many(org_id, 4)

    assert RunCounts(running=2, queued=2) == await gate.counts(org_id)
    assert [1, 2] == [await gate.place(org_id, third), await gate.place(org_id, fourth)]
    assert (True, False) == ((await gate.run(org_id, third)).is_queued, (await gate.run(org_id, second)).is_queued)
    assert [third] == await gate.end(org_id, first)
    assert [fourth] == await gate.end(org_id, second)
    assert [] == await gate.end(org_id, third)


async def test_of_submissions_that_race_exactly_as_many_as_the_cap_are_let_in(gate: Gatekeeper, org_id: str) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=3, max_queued_runs=5))

    outcomes = await asyncio.gather(*(gate.submit(new_run(org_id)) for _ in range(20)), return_exceptions=True)

    assert RunCounts(running=3, queued=5) == await gate.counts(org_id)
    assert 12 == sum(isinstance(outcome, RunQueueFull) for outcome in outcomes)
    assert 3 == sum(len(outcome) for outcome in outcomes if isinstance(outcome, list))


async def test_ends_and_submissions_that_race_never_pass_the_cap_and_lose_nothing(
    gate: Gatekeeper, org_id: str
) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=3))
    waiting = asyncio.Queue[str]()
    for run_id in await gate.submit_many(org_id, 3):
        waiting.put_nowait(run_id)
    peaks: list[int] = []

    async def finish(count: int) -> None:
        for _ in range(count):
            for admitted in await gate.end(org_id, await waiting.get()):
                waiting.put_nowait(admitted)
            peaks.append((await gate.counts(org_id)).running)

    async def add(count: int) -> None:
        for _ in range(count):
            for admitted in await gate.submit(new_run(org_id)) or []:
                waiting.put_nowait(admitted)

    async with deadline("thirty ends and thirty submissions"):
        await asyncio.gather(finish(11), finish(11), finish(11), add(10), add(10), add(10))

    assert RunCounts(running=0, queued=0) == await gate.counts(org_id)
    assert max(peaks) <= 3


async def test_a_run_beyond_the_queue_is_refused_and_nothing_of_it_is_kept(gate: Gatekeeper, org_id: str) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=1, max_queued_runs=0))
    (running,) = await gate.submit_many(org_id, 1)

    with pytest.raises(RunQueueFull) as refusal:
        await gate.submit(new_run(org_id))

    assert (1, 0, 10.0) == (refusal.value.running, refusal.value.queued, refusal.value.retry_after_seconds)
    assert RunCounts(running=1, queued=0) == await gate.counts(org_id)
    await gate.end(org_id, running)
    fresh = new_run(org_id)
    assert [fresh.run_id] == await gate.submit(fresh)


async def test_a_key_that_was_accepted_is_not_refused_when_the_queue_is_full(gate: Gatekeeper, org_id: str) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=1, max_queued_runs=0))
    await gate.submit(new_run(org_id, key="once"))

    assert await gate.submit(new_run(org_id, key="once")) is None


async def test_a_cap_that_is_raised_or_taken_away_lets_in_what_waits(gate: Gatekeeper, org_id: str) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=1))
    runs = await gate.submit_many(org_id, 5)
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=3))

    assert sorted(runs[1:4]) == sorted(await gate.end(org_id, runs[0]))
    await gate.limit(OrganisationLimits(org_id=org_id))
    assert [runs[4]] == await gate.end(org_id, runs[1])


async def test_a_run_that_waits_is_cancelled_at_once_and_one_that_was_let_in_is_not(
    gate: Gatekeeper, org_id: str
) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, max_running_runs=1))
    first, second, third = await gate.submit_many(org_id, 3)

    assert (False, True, False) == (
        await gate.cancel_queued(org_id, first),
        await gate.cancel_queued(org_id, second),
        await gate.cancel_queued(org_id, second),
    )
    cancelled = await gate.run(org_id, second)
    assert (RunState.CANCELLED, True) == (cancelled.state, cancelled.finished_at is not None)
    assert [third] == await gate.end(org_id, first)


async def test_below_a_cap_for_all_organisations_take_turns_whoever_has_more_waiting(own_database: Database) -> None:
    gate = Gatekeeper(own_database, AdmissionDefaults(max_running_runs=2))
    big = await gate.submit_many("org_big", 6)
    (small,) = await gate.submit_many("org_small", 1)
    (other,) = await gate.submit_many("org_other", 1)

    turns = []
    for org_id, run_id in (("org_big", big[0]), ("org_big", big[1]), ("org_small", small)):
        turns += await gate.end(org_id, run_id)

    assert [other, small, big[2]] == turns or [small, other, big[2]] == turns


async def test_a_cap_for_all_holds_while_organisations_race(own_database: Database) -> None:
    gate = Gatekeeper(own_database, AdmissionDefaults(max_running_runs=4, max_running_runs_per_org=2))
    orgs = [f"org_{place}" for place in range(5)]

    await asyncio.gather(*(gate.submit(new_run(org_id)) for org_id in orgs for _ in range(6)))

    counts = [await gate.counts(org_id) for org_id in orgs]
    assert 4 == sum(count.running for count in counts)
    assert 26 == sum(count.queued for count in counts)
    assert max(count.running for count in counts) <= 2


async def test_a_run_has_the_priority_that_it_may_have_and_its_share_of_the_weight(
    gate: Gatekeeper, org_id: str
) -> None:
    await gate.limit(OrganisationLimits(org_id=org_id, fairness_weight=4.0, highest_priority=2))
    plain, keyed = new_run(org_id), replace(new_run(org_id), priority=1, fairness_key="nightly")
    second = replace(new_run(org_id), priority=5, fairness_key="hourly")
    for run in (plain, keyed, second):
        await gate.submit(run)

    found = [await gate.run(org_id, run.run_id) for run in (plain, keyed, second)]

    assert [(3, org_id, 4.0), (2, f"{org_id}/nightly", 2.0), (5, f"{org_id}/hourly", pytest.approx(4 / 3))] == [
        (run.priority, run.fairness_key, run.fairness_weight) for run in found
    ]


def test_a_fairness_key_fits_into_what_temporal_takes_however_long_the_names_are() -> None:
    keys = {fairness_key_of("o" * 63, name) for name in ("a" * 32, "b" * 32)}

    assert 2 == len(keys)
    assert all(len(f"{key}+bulk".encode()) <= 64 for key in keys)

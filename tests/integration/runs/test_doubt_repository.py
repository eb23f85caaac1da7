import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.money import MicroUsd
from runs.doubt_repository import Doubt, DoubtRepository
from runs.effects import EffectClass
from runs.errors import DeterminismViolation, EffectInDoubt
from runs.journal_repository import Claim, EffectJournal, StepRequest, claim_statement
from runs.models import StepState, StepUsage
from tests.integration.runs.records import OTHER_OUTPUT, OUTPUT, Journal, Runs, new_run, request

pytestmark = pytest.mark.integration
_Found = TypeVar("_Found")


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def step(org_id: str) -> StepRequest:
    return replace(request(org_id), kind="tool", effect_class=EffectClass.AT_MOST_ONCE)


async def take(database: Database, step: StepRequest) -> StepState | None:
    """A claim as an edge makes it, committed whatever it says; None when there is nothing to have."""
    statement = claim_statement(step, lease_seconds=60)
    async with database.transaction() as session:
        rows = (await session.execute(statement.clause, statement.parameters)).all()
    return StepState(rows[0].state) if rows else None


async def doubting(database: Database, work: Callable[[DoubtRepository], Awaitable[_Found]]) -> _Found:
    async with database.transaction() as session:
        return await work(DoubtRepository(session))


async def test_of_fifty_attempts_after_a_lost_one_none_may_perform_what_must_not_happen_twice(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    await journal.hold(step, lease_seconds=-1)

    states = await asyncio.gather(*(take(database, replace(step, attempt=number)) for number in range(1, 51)))

    assert StepState.CLAIMED not in states
    assert 1 == states.count(StepState.IN_DOUBT)
    found = await journal.step(step)
    assert (StepState.IN_DOUBT, 1, 1, 0) == (found.state, found.fence, found.attempt, found.possible_duplicates)
    with pytest.raises(EffectInDoubt):
        await journal.claim(replace(step, attempt=99))
    with pytest.raises(DeterminismViolation):
        await journal.claim(replace(step, request_digest="another"))


@pytest.mark.parametrize(
    ("effect", "duplicates", "unsettled"),
    [
        (EffectClass.PURE, 1, False),
        (EffectClass.IDEMPOTENT, 0, False),
        (EffectClass.PROBE, 0, True),
        (None, 1, False),
    ],
)
async def test_a_lost_attempt_of_another_class_is_taken_over_by_exactly_one(
    journal: Journal, step: StepRequest, effect: EffectClass | None, *, duplicates: int, unsettled: bool
) -> None:
    step = replace(step, effect_class=effect)
    await journal.hold(step, lease_seconds=-1)

    results = await asyncio.gather(*(journal.claim(step) for _ in range(20)), return_exceptions=True)

    assert [(2, unsettled)] == [(each.fence, each.unsettled) for each in results if isinstance(each, Claim)]
    assert duplicates == (await journal.step(step)).possible_duplicates


async def test_an_attempt_that_fails_while_it_asks_leaves_the_next_one_to_ask(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    step = replace(step, effect_class=EffectClass.PROBE)
    await journal.hold(step, lease_seconds=-1)
    asking = await journal.hold(replace(step, attempt=2))
    async with database.transaction() as session:
        await EffectJournal(session).fail(
            asking,
            state=StepState.FAILED,
            error_code="x",
            error_message="x",
            usage=StepUsage(cost_micro_usd=MicroUsd(0)),
            unsettled=True,
        )

    # It fails before it knows its own class.
    third = await journal.hold(replace(step, attempt=3, effect_class=None))

    assert third.unsettled


async def test_a_late_result_ends_the_doubt_and_one_after_a_persons_word_does_not(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    late = await journal.hold(step)
    doubt = await doubting(database, lambda doubts: doubts.open(step.key))
    again = await doubting(database, lambda doubts: doubts.open(step.key))
    assert isinstance(doubt, Doubt)
    assert isinstance(again, Doubt)
    assert (True, False, late.fence) == (doubt.is_new, again.is_new, again.fence)
    other = replace(step, key=replace(step.key, node_id="other"))
    too_late = await journal.hold(other)
    await doubting(database, lambda doubts: doubts.open(other.key))
    await doubting(database, lambda doubts: doubts.not_performed(other.key, fence=too_late.fence, decided_by="ada"))

    assert await journal.commit(late)
    assert not await journal.commit(too_late)

    assert OUTPUT == await doubting(database, lambda doubts: doubts.open(step.key))
    repeated = await journal.hold(replace(other, attempt=1))
    assert too_late.fence + 2 == repeated.fence


async def test_of_ten_words_at_once_exactly_one_counts(journal: Journal, database: Database, step: StepRequest) -> None:
    claim = await journal.hold(step)
    await doubting(database, lambda doubts: doubts.open(step.key))

    async def say(number: int) -> bool:
        if number % 2:
            return await doubting(
                database, lambda doubts: doubts.performed(step.key, fence=claim.fence, output=OTHER_OUTPUT)
            )
        return await doubting(
            database, lambda doubts: doubts.not_performed(step.key, fence=claim.fence, decided_by="ada")
        )

    assert 1 == sum(await asyncio.gather(*(say(number) for number in range(10))))
    assert 2 == (await journal.step(step)).fence


async def test_what_has_failed_for_certain_or_was_never_begun_is_not_in_doubt(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    assert await doubting(database, lambda doubts: doubts.open(step.key)) is None

    await journal.fail(await journal.hold(step))

    assert await doubting(database, lambda doubts: doubts.open(step.key)) is None
    assert StepState.FAILED == (await journal.step(step)).state


async def test_the_end_of_a_run_puts_in_doubt_what_it_leaves_open_and_nothing_else(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    def named(node_id: str, effect: EffectClass) -> StepRequest:
        return replace(step, key=replace(step.key, node_id=node_id), effect_class=effect)

    for node_id, effect in (("a", EffectClass.AT_MOST_ONCE), ("b", EffectClass.PROBE), ("c", EffectClass.IDEMPOTENT)):
        await journal.hold(named(node_id, effect))
    await journal.commit(await journal.hold(named("d", EffectClass.AT_MOST_ONCE)))
    elsewhere = replace(step, key=replace(step.key, org_id=f"{step.key.org_id}_other"))
    await journal.hold(elsewhere)

    found = await doubting(database, lambda doubts: doubts.close_run(org_id=step.key.org_id, run_id=step.key.run_id))

    assert [EffectClass.AT_MOST_ONCE, EffectClass.PROBE] == sorted(found)
    states = {each.key.node_id: each.state for each in await journal.steps(step.key.org_id)}
    assert {"a": "in_doubt", "b": "in_doubt", "c": "claimed", "d": "committed"} == states
    assert StepState.CLAIMED == (await journal.step(elsewhere)).state


async def test_a_run_that_repeats_another_knows_of_its_doubts(
    journal: Journal, database: Database, org_id: str, step: StepRequest
) -> None:
    runs = Runs(database, SystemClock())
    first = new_run(org_id)
    second = replace(new_run(org_id), rerun_of=first.run_id)
    assert await runs.add(first)
    assert await runs.add(second)
    earlier = replace(step, key=replace(step.key, run_id=first.run_id, item_index=3))
    await journal.hold(earlier)
    again = replace(earlier.key, run_id=second.run_id)

    before = await doubting(database, lambda doubts: doubts.is_left_by_earlier_run(again))
    await doubting(database, lambda doubts: doubts.open(earlier.key))

    assert not before
    assert await doubting(database, lambda doubts: doubts.is_left_by_earlier_run(again))
    other = replace(again, item_index=4)
    assert not await doubting(database, lambda doubts: doubts.is_left_by_earlier_run(other))

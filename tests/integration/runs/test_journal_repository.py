from dataclasses import replace

import pytest

from agentflow.database import Database
from agentflow.digest import Json
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from runs.errors import DeterminismViolation, StepClaimed
from runs.journal_repository import Claim, EffectJournal, StepRequest, effect_key
from runs.models import StepKey, StepOutput, StepState, StepUsage
from tests.integration.runs.records import NO_USAGE, OTHER_OUTPUT, OUTPUT, Journal, item_of, request

pytestmark = pytest.mark.integration

USAGE = StepUsage(
    provider="openai",
    model="small",
    input_tokens=10,
    output_tokens=20,
    cost_micro_usd=MicroUsd(3_000_000_000),
    cache_hit=True,
    pii={"EMAIL": 2},
    injection_score=0.25,
    decision={"reason": "cheapest", "candidates": ["small", "large"]},
)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def step(org_id: str) -> StepRequest:
    return request(org_id)


async def test_a_step_that_is_claimed_and_committed_is_read_back_as_it_was(journal: Journal, step: StepRequest) -> None:
    claim = await journal.hold(step)
    claimed = await journal.step(step)
    committed = await journal.commit(claim, usage=USAGE)
    done = await journal.step(step)

    assert (effect_key(step.key), 1, True) == (claim.effect_key, claim.fence, committed)
    assert (StepState.CLAIMED, 1, None, None) == (claimed.state, claimed.attempt, claimed.output, claimed.finished_at)
    assert (StepState.COMMITTED, OUTPUT, USAGE) == (done.state, done.output, done.usage)
    assert (step.key, "llm", 1, 1, 0) == (done.key, done.kind, done.attempt, done.fence, done.possible_duplicates)
    assert done.finished_at is not None
    assert claimed.started_at == done.started_at <= done.finished_at


async def test_a_committed_step_gives_its_output_to_every_later_claim(journal: Journal, step: StepRequest) -> None:
    await journal.commit(await journal.hold(step))

    for attempt in (1, 2, 7):
        assert OUTPUT == await journal.claim(replace(step, attempt=attempt))
    assert (1, 1) == ((await journal.step(step)).attempt, (await journal.step(step)).fence)


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_step_is_not_given_out_again_while_its_lease_runs(
    journal: Journal, step: StepRequest, attempt: int
) -> None:
    await journal.hold(replace(step, attempt=2), lease_seconds=60)

    with pytest.raises(StepClaimed) as refusal:
        await journal.claim(replace(step, attempt=attempt))

    assert "summarise" == refusal.value.node_id
    assert 50 < refusal.value.retry_after_seconds <= 60
    assert (2, 1) == ((await journal.step(step)).attempt, (await journal.step(step)).fence)


async def test_a_higher_attempt_takes_over_at_once_and_the_duplicate_is_counted(
    journal: Journal, step: StepRequest
) -> None:
    first = await journal.hold(step)
    second = await journal.hold(replace(step, attempt=2))
    third = await journal.hold(replace(step, attempt=3))

    taken_over = await journal.step(step)

    assert [1, 2, 3] == [first.fence, second.fence, third.fence]
    assert (3, 3, 2) == (taken_over.attempt, taken_over.fence, taken_over.possible_duplicates)


@pytest.mark.parametrize("attempt", [1, 2, 3])
async def test_a_step_whose_lease_has_run_out_is_anyones(journal: Journal, step: StepRequest, attempt: int) -> None:
    first = await journal.hold(replace(step, attempt=2), lease_seconds=-1)

    second = await journal.hold(replace(step, attempt=attempt))

    assert (1, 2) == (first.fence, second.fence)
    assert (attempt, 1) == ((await journal.step(step)).attempt, (await journal.step(step)).possible_duplicates)


async def test_the_wait_for_a_lease_that_is_about_to_run_out_is_never_nothing(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    async with database.transaction() as session:  # in one transaction the database's clock stands still
        await EffectJournal(session).claim(step, lease_seconds=0)
        with pytest.raises(StepClaimed) as refusal:
            await EffectJournal(session).claim(step, lease_seconds=0)

    assert refusal.value.retry_after_seconds == pytest.approx(0.1)
    assert 2 == (await journal.hold(step)).fence


async def test_an_attempt_that_was_replaced_commits_nothing(journal: Journal, step: StepRequest) -> None:
    stale = await journal.hold(step)
    valid = await journal.hold(replace(step, attempt=2))

    assert not await journal.commit(stale, OTHER_OUTPUT, USAGE)
    between = await journal.step(step)
    assert await journal.commit(valid, OUTPUT)
    assert not await journal.commit(stale, OTHER_OUTPUT, USAGE)

    done = await journal.step(step)
    assert (StepState.CLAIMED, None, NO_USAGE) == (between.state, between.output, between.usage)
    assert (OUTPUT, NO_USAGE, 2, 1) == (done.output, done.usage, done.attempt, done.possible_duplicates)


async def test_an_attempt_that_was_replaced_cannot_fail_the_step(journal: Journal, step: StepRequest) -> None:
    stale = await journal.hold(step)
    valid = await journal.hold(replace(step, attempt=2))

    assert not await journal.fail(stale, cost=MicroUsd(5))
    assert await journal.commit(valid)
    assert not await journal.fail(valid, cost=MicroUsd(5))

    done = await journal.step(step)
    assert (StepState.COMMITTED, None, 0) == (done.state, done.error_code, done.usage.cost_micro_usd)


async def test_the_same_commit_again_is_true_and_changes_nothing(journal: Journal, step: StepRequest) -> None:
    claim = await journal.hold(step)
    await journal.commit(claim, usage=USAGE)
    before = await journal.step(step)

    assert await journal.commit(claim, usage=USAGE)
    assert not await journal.commit(claim, OTHER_OUTPUT)

    assert before == await journal.step(step)


async def test_a_step_that_failed_is_given_out_again_without_counting_a_duplicate(
    journal: Journal, step: StepRequest
) -> None:
    await journal.fail(await journal.hold(step))
    failed = await journal.step(step)

    again = await journal.hold(step)
    claimed = await journal.step(step)

    assert (StepState.FAILED, "cas.down", "it is down") == (failed.state, failed.error_code, failed.error_message)
    assert failed.finished_at is not None
    assert 2 == again.fence
    assert (StepState.CLAIMED, None, None, None, 0) == (
        claimed.state,
        claimed.error_code,
        claimed.error_message,
        claimed.finished_at,
        claimed.possible_duplicates,
    )


async def test_cost_is_added_over_attempts(journal: Journal, step: StepRequest) -> None:
    await journal.fail(await journal.hold(step), cost=MicroUsd(5))
    await journal.fail(await journal.hold(replace(step, attempt=2)), cost=MicroUsd(7), state=StepState.CANCELLED)
    cancelled = await journal.step(step)
    await journal.commit(
        await journal.hold(replace(step, attempt=3)), usage=replace(USAGE, cost_micro_usd=MicroUsd(100))
    )

    done = await journal.step(step)

    assert (StepState.CANCELLED, 12) == (cancelled.state, cancelled.usage.cost_micro_usd)
    assert (StepState.COMMITTED, 112) == (done.state, done.usage.cost_micro_usd)


async def test_a_step_with_another_request_is_refused_in_every_state(journal: Journal, step: StepRequest) -> None:
    other = replace(step, request_digest="another", attempt=2)

    claim = await journal.hold(step, lease_seconds=-1)
    for advance in (journal.fail(claim), journal.hold(step)):
        before = await journal.step(step)
        with pytest.raises(DeterminismViolation) as refusal:
            await journal.claim(other)
        with pytest.raises(DeterminismViolation):
            await journal.record(other)
        assert before == await journal.step(step)
        await advance
    await journal.commit(Claim(effect_key=claim.effect_key, fence=2))
    with pytest.raises(DeterminismViolation):
        await journal.claim(other)
    with pytest.raises(DeterminismViolation):
        await journal.record(other, OTHER_OUTPUT)

    assert ("summarise", None) == (refusal.value.node_id, refusal.value.item_index)
    assert OUTPUT == (await journal.step(step)).output


async def test_a_claim_of_nothing_commits_nothing(journal: Journal, step: StepRequest) -> None:
    nothing = Claim(effect_key=effect_key(step.key), fence=1)

    assert not await journal.commit(nothing)
    assert not await journal.fail(nothing)
    assert [] == await journal.steps(step.key.org_id)


async def test_a_claim_of_a_transaction_that_is_rolled_back_holds_nothing(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    async with database.transaction() as session:
        await EffectJournal(session).claim(step, lease_seconds=60)
        await session.rollback()

    assert 1 == (await journal.hold(step)).fence


async def test_a_pure_step_is_recorded_at_its_end_with_the_time_that_it_took(
    journal: Journal, step: StepRequest
) -> None:
    assert OUTPUT == await journal.record(step, seconds=2.5)

    done = await journal.step(step)
    assert (StepState.COMMITTED, OUTPUT, 1, 1) == (done.state, done.output, done.attempt, done.fence)
    assert done.finished_at is not None
    assert 2.5 == (done.finished_at - done.started_at).total_seconds()


async def test_a_pure_step_keeps_the_output_that_was_recorded_first(journal: Journal, step: StepRequest) -> None:
    await journal.record(step)

    assert OUTPUT == await journal.record(replace(step, attempt=2), OTHER_OUTPUT)
    assert OUTPUT == (await journal.step(step)).output


async def test_a_pure_step_that_failed_can_succeed_later_and_not_fail_after_that(
    journal: Journal, step: StepRequest
) -> None:
    await journal.record_failure(step)
    failed = await journal.step(step)
    await journal.record_failure(replace(step, attempt=2), state=StepState.CANCELLED)
    cancelled = await journal.step(step)
    await journal.record(replace(step, attempt=3))
    await journal.record_failure(replace(step, attempt=4))
    done = await journal.step(step)

    assert (StepState.FAILED, 1, "step.failed", "no such column") == (
        failed.state,
        failed.attempt,
        failed.error_code,
        failed.error_message,
    )
    assert (StepState.CANCELLED, 2) == (cancelled.state, cancelled.attempt)
    assert (StepState.COMMITTED, 3, OUTPUT, None) == (done.state, done.attempt, done.output, done.error_code)


@pytest.mark.parametrize(
    "value", ["a\x00b", "\\u0000", "\\\x00", "\ud83d", "é😀", "\\\\\x00\x00", {"\x00": ["\ud83d\x00"]}, 10**30, 0.1]
)
async def test_any_fact_that_json_can_say_is_recorded(journal: Journal, step: StepRequest, value: Json) -> None:
    claim = await journal.hold(step)

    assert await journal.commit(claim, StepOutput(digest="d", size_bytes=1, facts={"value:a": value}))

    recorded = (await journal.step(step)).output
    assert recorded is not None
    assert as_recorded(value) == recorded.facts["value:a"]


def as_recorded(value: Json) -> Json:
    """The value with what PostgreSQL's text cannot hold replaced."""
    if isinstance(value, dict):
        return {"\ufffd": ["?\ufffd"]}
    return value.replace("\x00", "\ufffd").replace("\ud83d", "?") if isinstance(value, str) else value


async def test_items_generations_and_parts_of_a_node_are_steps_of_their_own(
    journal: Journal, step: StepRequest
) -> None:
    requests = [
        step,
        item_of(step, 0, count=2),
        item_of(step, 1, count=2),
        replace(step, key=replace(step.key, generation=1)),
        replace(step, key=replace(step.key, part="iteration:1")),
        replace(step, key=replace(step.key, node_id="other")),
        replace(step, key=replace(step.key, run_id="run_2")),
    ]

    claims = [await journal.hold(each) for each in requests]

    assert {1} == {claim.fence for claim in claims}
    assert 7 == len({claim.effect_key for claim in claims})
    assert 6 == len(await journal.steps(step.key.org_id))
    assert "iteration:1" in {each.key.part for each in await journal.steps(step.key.org_id)}


async def test_steps_come_in_the_order_in_which_they_began_then_by_node_and_item(
    journal: Journal, database: Database, step: StepRequest
) -> None:
    first = replace(step, key=replace(step.key, node_id="z"))
    await journal.record(first, seconds=10)
    async with database.transaction() as session:  # in one transaction all begin at one instant
        for each in (item_of(step, 1, count=2), item_of(step, 0, count=2), step):
            await EffectJournal(session).claim(each, lease_seconds=60)

    ordered = [(found.key.node_id, found.key.item_index) for found in await journal.steps(step.key.org_id)]

    assert [("z", None), ("summarise", None), ("summarise", 0), ("summarise", 1)] == ordered


async def test_the_outputs_of_a_maps_items_are_those_that_are_committed(journal: Journal, step: StepRequest) -> None:
    for index in (2, 0, 10):
        claim = await journal.hold(item_of(step, index, count=12))
        await journal.commit(claim, StepOutput(digest=f"output {index}", size_bytes=1, facts={}))
    await journal.fail(await journal.hold(item_of(step, 1, count=12)))
    await journal.hold(item_of(step, 3, count=12))
    await journal.record(step)
    other_generation = replace(step, key=replace(step.key, generation=1))
    await journal.record(item_of(other_generation, 4, count=12))

    outputs = await journal.item_outputs(step.key)

    assert [(0, "output 0"), (2, "output 2"), (10, "output 10")] == [*outputs.items()]


async def test_a_maps_interval_spans_its_items_from_the_first_beginning_to_the_last_end(
    journal: Journal, step: StepRequest, org_id: str
) -> None:
    await journal.record(item_of(step, 0, count=2), seconds=9)
    await journal.record(item_of(step, 1, count=2), seconds=1)
    await journal.hold(item_of(request(org_id, node_id="begun"), 0, count=5))
    await journal.record(request(org_id, node_id="no_map"))
    items = {found.key.item_index: found for found in await journal.steps(org_id) if found.key.node_id == "summarise"}

    begun, summarise = await journal.map_intervals(org_id)

    assert ("begun", 5, None) == (begun.node_id, begun.item_count, begun.finished_at)
    assert ("summarise", 2) == (summarise.node_id, summarise.item_count)
    assert (items[0].started_at, items[1].finished_at) == (summarise.started_at, summarise.finished_at)


async def test_one_organisations_steps_are_invisible_to_another(journal: Journal, step: StepRequest) -> None:
    strangers = new_id("org")
    mine = item_of(step, 0, count=1)
    theirs = replace(mine, key=replace(mine.key, org_id=strangers), request_digest="another")
    await journal.commit(await journal.hold(mine))

    assert [] == await journal.steps(strangers)
    assert {} == await journal.item_outputs(theirs.key)
    assert [] == await journal.map_intervals(strangers)
    assert 1 == (await journal.hold(theirs)).fence
    assert OUTPUT == (await journal.step(mine)).output


def test_an_effect_key_depends_on_every_part_of_the_key_and_on_nothing_else() -> None:
    key = StepKey(org_id="org", run_id="run", node_id="node", item_index=1, generation=2)
    others = [
        replace(key, org_id="x"),
        replace(key, run_id="x"),
        replace(key, node_id="x"),
        replace(key, item_index=None),
        replace(key, item_index=2),
        replace(key, generation=1),
        replace(key, part="x"),
        StepKey(org_id="org", run_id="runnode", node_id="", item_index=1, generation=2),
    ]

    assert effect_key(key) == effect_key(replace(key))
    assert 9 == len({effect_key(each) for each in (key, *others)})

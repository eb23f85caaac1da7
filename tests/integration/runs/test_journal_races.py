import asyncio
from dataclasses import replace

import pytest

from agentflow.database import Database
from runs.errors import StepClaimed
from runs.journal_repository import Claim, StepRequest, effect_key
from runs.models import StepOutput
from tests.integration.runs.records import Journal, request

pytestmark = pytest.mark.integration


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def step(org_id: str) -> StepRequest:
    return request(org_id)


async def test_of_fifty_claims_at_once_exactly_one_is_given_out(journal: Journal, step: StepRequest) -> None:
    results = await asyncio.gather(*(journal.claim(step) for _ in range(50)), return_exceptions=True)

    assert [Claim(effect_key=effect_key(step.key), fence=1)] == [
        result for result in results if isinstance(result, Claim)
    ]
    assert 49 == sum(isinstance(result, StepClaimed) for result in results)


async def test_of_fifty_claims_at_once_of_a_lease_that_has_run_out_exactly_one_is_given_out(
    journal: Journal, step: StepRequest
) -> None:
    await journal.hold(step, lease_seconds=-1)

    results = await asyncio.gather(*(journal.claim(step) for _ in range(50)), return_exceptions=True)

    assert [2] == [result.fence for result in results if isinstance(result, Claim)]
    assert 49 == sum(isinstance(result, StepClaimed) for result in results)
    assert 1 == (await journal.step(step)).possible_duplicates


async def test_of_twenty_attempts_at_once_exactly_one_commits_and_its_output_is_everyones(
    journal: Journal, step: StepRequest
) -> None:
    async def work(attempt: int) -> tuple[str, str]:
        mine = StepOutput(digest=f"output of {attempt}", size_bytes=attempt, facts={})
        held = await journal.claim(replace(step, attempt=attempt))
        if isinstance(held, StepOutput):
            return "found", held.digest
        return ("committed" if await journal.commit(held, mine) else "stale"), mine.digest

    results = await asyncio.gather(*(work(attempt) for attempt in range(1, 21)), return_exceptions=True)

    ended = [result for result in results if not isinstance(result, BaseException)]
    assert all(isinstance(result, StepClaimed) for result in results if isinstance(result, BaseException))
    (winner,) = [digest for outcome, digest in ended if outcome == "committed"]
    assert {winner} >= {digest for outcome, digest in ended if outcome == "found"}
    recorded = (await journal.step(step)).output
    assert recorded is not None
    assert winner == recorded.digest


async def test_of_fifty_records_at_once_all_get_the_same_output(journal: Journal, step: StepRequest) -> None:
    outputs = [StepOutput(digest=f"output {number}", size_bytes=number, facts={}) for number in range(50)]

    kept = await asyncio.gather(*(journal.record(step, output) for output in outputs))

    assert {(await journal.step(step)).output.digest} == {output.digest for output in kept}  # type: ignore[union-attr]  # it is committed

import asyncio

import pytest

from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.settings import RateLimit
from agentflow.statements import execute_each
from cas.provider_models import TokenUsage
from cas.rate_limiter import RateLimiter, correction, giving_back, pausing
from cas.rate_limits import BucketTake

pytestmark = pytest.mark.integration


@pytest.fixture
def provider() -> str:
    return new_id("vendor")


def limiter(database: Database, provider: str, **limits: int) -> RateLimiter:
    return RateLimiter(database, [RateLimit(provider=provider, **limits)])


def takes(limiter: RateLimiter, provider: str, tokens: int = 1) -> tuple[BucketTake, ...]:
    return limiter.takes(org_id="org_1", provider=provider, model="m", tokens=tokens)


async def admitted(limiter: RateLimiter, wanted: tuple[BucketTake, ...], booking: str | None = None) -> float:
    return await limiter.admit(wanted, org_id="org_1", booking_id=booking or new_id("call"), patience_seconds=1.0)


async def test_a_bucket_lets_a_minutes_worth_out_at_once_and_then_makes_wait(database: Database, provider: str) -> None:
    few = limiter(database, provider, requests_per_minute=3)

    waits = [await admitted(few, takes(few, provider)) for _ in range(4)]

    assert [0, 0, 0] == waits[:3]
    assert 15 < waits[3] <= 20


async def test_of_fifty_calls_at_once_no_more_go_than_there_is_room_for(database: Database, provider: str) -> None:
    # So few that a busy machine leaves no time for another one to come.
    few = limiter(database, provider, requests_per_minute=4)

    waits = await asyncio.gather(*(admitted(few, takes(few, provider)) for _ in range(50)))

    assert 4 == sum(wait <= 1 for wait in waits)


async def test_booked_turns_come_one_after_the_other_and_are_kept(database: Database, provider: str) -> None:
    # A turn every thirty seconds.
    few = limiter(database, provider, requests_per_minute=2)
    for _ in range(2):
        await admitted(few, takes(few, provider))

    first, second = [await few.book(takes(few, provider), org_id="org_1", booking_id=booking) for booking in ("a", "b")]
    again = await few.book(takes(few, provider), org_id="org_1", booking_id="a")

    assert 0 < first <= 30
    assert 15 < second - first <= 31
    assert again <= first
    patient = await few.admit(takes(few, provider), org_id="org_1", booking_id="a", patience_seconds=60)
    assert patient <= first
    # What was booked is used up: the next one is behind the other.
    assert await admitted(few, takes(few, provider), "a") > second - 15


async def test_tokens_are_put_right_once_they_are_known(database: Database, provider: str) -> None:
    few = limiter(database, provider, tokens_per_minute=600)
    wanted = takes(few, provider, tokens=600)
    assert 0 == await admitted(few, wanted)

    right = correction(wanted, TokenUsage(input_tokens=100, output_tokens=200))
    assert right is not None
    async with database.transaction() as session:
        await execute_each(session, [right])

    assert 0 == await admitted(few, takes(few, provider, tokens=300))
    assert await admitted(few, takes(few, provider, tokens=300)) > 25


async def test_what_was_not_used_is_given_back(database: Database, provider: str) -> None:
    few = limiter(database, provider, requests_per_minute=1)
    wanted = takes(few, provider)
    assert 0 == await admitted(few, wanted)

    async with database.transaction() as session:
        await execute_each(session, [giving_back(wanted)])

    assert 0 == await admitted(few, wanted)


async def test_a_vendor_that_asks_to_wait_is_left_alone_so_long(database: Database, provider: str) -> None:
    few = limiter(database, provider, requests_per_minute=100)
    wanted = takes(few, provider)
    assert 0 == await admitted(few, wanted)

    async with database.transaction() as session:
        await execute_each(session, [pausing(wanted, seconds=30)])

    assert 15 < await admitted(few, wanted) <= 31


def test_without_limits_nothing_is_asked(database: Database, provider: str) -> None:
    assert () == takes(RateLimiter(database, ()), provider)

"""The table of kept answers."""

import pytest
from sqlalchemy import text

from agentflow.database import Database
from agentflow.digest import Json
from agentflow.ids import new_id
from agentflow.money import MicroUsd
from cas.cache_repository import CacheRepository
from cas.exact_cache import cache_key, decode_response, encode_response
from cas.models import Route
from cas.provider_models import ChatMessage, ModelRequest, ModelResponse, TokenUsage

pytestmark = pytest.mark.integration

HOUR = 3_600.0
#: Over as soon as the transaction is.
NO_TIME = 0.0
ANSWER: dict[str, Json] = {"text": "first"}


class Cache:
    """The table as an edge uses it: one transaction for each call."""

    def __init__(self, database: Database, org_id: str) -> None:
        self._database, self._org_id = database, org_id

    async def put(self, key: str, response: dict[str, Json], *, ttl_seconds: float = HOUR) -> None:
        async with self._database.transaction() as session:
            await CacheRepository(session).put(
                org_id=self._org_id, cache_key=key, response=response, ttl_seconds=ttl_seconds
            )

    async def get(self, *keys: str) -> dict[str, object]:
        async with self._database.transaction() as session:
            return dict(await CacheRepository(session).get_any(org_id=self._org_id, cache_keys=keys))

    async def sweep(self) -> None:
        async with self._database.transaction() as session:
            await CacheRepository(session).sweep()


@pytest.fixture
def cache(database: Database, org_id: str) -> Cache:
    return Cache(database, org_id)


@pytest.mark.parametrize(
    "words", ["Nothing is new.", "", 'quotes " and \\u0000', "tab\tline\n\x7f", "Ünïcödé 🙂 \u2028"]
)
async def test_an_answer_comes_back_from_the_table_as_it_was_given(cache: Cache, words: str) -> None:
    answer = ModelResponse(
        text=words,
        tool_calls=(),
        finish_reason="stop",
        usage=TokenUsage(input_tokens=9, output_tokens=4, cache_read_tokens=3, cache_write_tokens=2),
        model="m-2026-01-01",
        response_id="response_1",
        time_to_first_token_seconds=None,
        usage_is_estimated=True,
    )
    route = Route(
        provider="openai",
        model="m",
        price=None,
        ceiling_micro_usd=MicroUsd(1),
        expected_micro_usd=MicroUsd(1),
        max_output_tokens=512,
    )
    request = ModelRequest(
        model="m", messages=(ChatMessage(role="user", text=words),), max_output_tokens=9, timeout_seconds=9.0
    )
    key = cache_key(route=route, request=request, prompt="greeting@1", policy={})

    await cache.put(key, encode_response(answer))

    found = (await cache.get(key))[key]
    assert isinstance(found, dict)
    assert answer == decode_response(found)


async def test_answers_are_found_by_their_keys_and_the_missing_are_left_out(cache: Cache) -> None:
    await cache.put("a", {"text": "of a"})
    await cache.put("b", {"text": "of b"})

    assert {"a": {"text": "of a"}, "b": {"text": "of b"}} == await cache.get("b", "missing", "a")
    assert {"b": {"text": "of b"}} == await cache.get("b")
    assert {} == await cache.get()


async def test_one_organisations_answers_are_never_served_to_another(cache: Cache, database: Database) -> None:
    strangers = Cache(database, new_id("org"))
    await cache.put("a", ANSWER)

    assert {} == await strangers.get("a")
    await strangers.put("a", {"text": "the strangers'"})
    assert {"a": ANSWER} == await cache.get("a")
    assert {"a": {"text": "the strangers'"}} == await strangers.get("a")


async def test_an_answer_is_not_served_when_its_time_is_over(cache: Cache) -> None:
    await cache.put("stale", ANSWER, ttl_seconds=NO_TIME)
    await cache.put("fresh", ANSWER)

    assert {"fresh": ANSWER} == await cache.get("stale", "fresh")


async def test_a_later_answer_takes_the_place_and_the_time_of_the_earlier_one(cache: Cache) -> None:
    await cache.put("revived", ANSWER, ttl_seconds=NO_TIME)
    await cache.put("revived", {"text": "second"})
    await cache.put("shortened", ANSWER)
    await cache.put("shortened", {"text": "second"}, ttl_seconds=NO_TIME)

    assert {"revived": {"text": "second"}} == await cache.get("revived", "shortened")


async def test_a_sweep_deletes_what_is_over_and_leaves_what_is_fresh(
    cache: Cache, database: Database, org_id: str
) -> None:
    await cache.put("stale", ANSWER, ttl_seconds=NO_TIME)
    await cache.put("fresh", ANSWER)

    await cache.sweep()

    async with database.transaction() as session:
        kept = await session.scalars(
            text("SELECT cache_key FROM exact_cache WHERE org_id = :org_id"), {"org_id": org_id}
        )
    assert ["fresh"] == list(kept)

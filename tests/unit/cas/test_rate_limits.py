import pytest

from agentflow.settings import RateLimit
from cas.rate_limits import SHARED, takes_of

VENDOR = RateLimit(provider="openai", requests_per_minute=60, tokens_per_minute=6_000)
MODEL = RateLimit(provider="openai", model="large", requests_per_minute=6)
EACH = RateLimit(provider="openai", org="*", requests_per_minute=30)
ONE = RateLimit(provider="openai", org="org_1", requests_per_minute=90)


def buckets(*limits: RateLimit, org_id: str = "org_1", model: str = "large") -> list[tuple[str, str, int]]:
    takes = takes_of(limits, org_id=org_id, provider="openai", model=model, tokens=600)
    return [(take.org_id, take.name, take.per_minute) for take in takes]


def test_a_call_takes_a_request_and_its_tokens_from_the_buckets_of_its_vendor() -> None:
    requests, tokens = takes_of([VENDOR], org_id="org_1", provider="openai", model="large", tokens=600)

    assert (SHARED, "openai/* requests", 1, 1.0) == (requests.org_id, requests.name, requests.amount, requests.seconds)
    assert (SHARED, "openai/* tokens", 600, 6.0) == (tokens.org_id, tokens.name, tokens.amount, tokens.seconds)


def test_other_vendors_and_models_are_not_counted() -> None:
    assert [] == buckets(RateLimit(provider="anthropic", requests_per_minute=1))
    assert [] == buckets(MODEL, model="small")
    assert [(SHARED, "openai/large requests", 6)] == buckets(MODEL)


def test_what_is_said_of_one_organisation_stands_instead_of_what_is_said_of_each() -> None:
    assert [("org_1", "openai/* requests", 90)] == buckets(EACH, ONE)
    assert [("org_2", "openai/* requests", 30)] == buckets(EACH, ONE, org_id="org_2")


def test_buckets_come_in_the_order_in_which_they_are_locked() -> None:
    found = buckets(ONE, MODEL, VENDOR)

    assert sorted(found) == found


def test_a_limit_limits_something() -> None:
    with pytest.raises(ValueError, match="requests_per_minute"):
        RateLimit(provider="openai")

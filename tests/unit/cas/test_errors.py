"""What the errors of the scheduler tell a program and a person."""

import re

import pytest

import cas.errors
from agentflow.errors import leaf_errors
from agentflow.money import MicroUsd
from cas.errors import (
    BudgetExceeded,
    BudgetInvalid,
    BudgetNotFound,
    CasError,
    ModelUnpriced,
    NoModelAvailable,
    ProviderError,
    ProviderNotConfigured,
    ProviderUnavailable,
    RateLimited,
    RoutesExhausted,
)

PROVIDER_ERRORS = leaf_errors(ProviderError)


def test_each_error_has_a_stable_code_of_its_own() -> None:
    codes = [leaf.code for leaf in leaf_errors(CasError)]

    expected = [
        "budget.exceeded",
        "budget.invalid",
        "budget.not_found",
        "budget.on_hold",
        "model.none_available",
        "model.rate_limit_reached",
        "model.routes_exhausted",
        "model.unpriced",
        "provider.authentication_failed",
        "provider.content_refused",
        "provider.context_too_long",
        "provider.malformed_response",
        "provider.not_configured",
        "provider.rate_limited",
        "provider.rejected",
        "provider.timed_out",
        "provider.unavailable",
    ]
    assert expected == codes


def test_the_tree_at_the_top_of_the_module_names_every_error_once() -> None:
    drawn = re.findall(r"[├└]── (\w+)", str(cas.errors.__doc__))

    defined = {value.__name__ for value in vars(cas.errors).values() if _is_error_below_the_root(value)}
    assert sorted(defined) == sorted(drawn)


@pytest.mark.parametrize("error_class", PROVIDER_ERRORS)
def test_an_error_of_a_provider_tells_whose_it_is_what_happened_and_the_details(
    error_class: type[ProviderError],
) -> None:
    error = error_class(provider="openai", model="gpt-4o", status=418, reason="teapot")

    assert ("openai", "gpt-4o", 418, "teapot") == (error.provider, error.model, error.status, error.reason)
    assert f"openai 'gpt-4o': {error_class.fact} (HTTP status 418, teapot)" == str(error)


@pytest.mark.parametrize(
    ("status", "reason", "ending"),
    [
        (None, None, "reached; wait, or use another model"),
        (429, None, " (HTTP status 429)"),
        (None, "slow_down", " (slow_down)"),
        (0, "", " (HTTP status 0)"),
    ],
)
def test_a_detail_that_is_not_known_is_not_told(status: int | None, reason: str | None, ending: str) -> None:
    message = str(RateLimited(provider="openai", model="gpt-4o", status=status, reason=reason))

    assert message.endswith(ending)
    assert (1 if ending.endswith(")") else 0) == message.count("(")


@pytest.mark.parametrize("error_class", PROVIDER_ERRORS)
def test_a_call_counts_as_sent_until_someone_knows_better(error_class: type[ProviderError]) -> None:
    assert error_class(provider="openai", model="gpt-4o").never_sent is False


@pytest.mark.parametrize("error_class", [RateLimited, ProviderUnavailable])
def test_the_wait_that_a_vendor_asks_for_is_kept(error_class: type[RateLimited | ProviderUnavailable]) -> None:
    asked = error_class(provider="openai", model="gpt-4o", retry_after_seconds=1.5)
    silent = error_class(provider="openai", model="gpt-4o")

    assert (1.5, None) == (asked.retry_after_seconds, silent.retry_after_seconds)


def test_an_exceeded_budget_is_named_with_its_scope_and_what_is_missing() -> None:
    error = BudgetExceeded(budget_id="budget_1", missing=MicroUsd(7), scope="daily")

    assert ("budget_1", 7, "daily") == (error.budget_id, error.missing, error.scope)
    assert "budget 'budget_1' (daily) lacks 7 micro-USD for this call; raise it or wait" == str(error)


def test_exhausted_routes_are_counted_and_told_in_order() -> None:
    error = RoutesExhausted(attempts=("a: busy", "b: down"))

    assert ("a: busy", "b: down") == error.attempts
    assert "all 2 routes failed: a: busy; b: down" == str(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BudgetNotFound(budget_id="budget_1"), ["'budget_1'"]),
        (BudgetInvalid(reason="the limit is -1"), ["the limit is -1"]),
        (ModelUnpriced(provider="openai", model="m"), ["openai", "'m'", "MODELS", "0 when it is free"]),
        (NoModelAvailable(tier="Gold", reason="none is offered"), ["Gold", "none is offered"]),
        (
            ProviderNotConfigured(provider="openai", setting="OPENAI_API_KEY", advice="is not set"),
            ["'openai'", "OPENAI_API_KEY is not set"],
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, CasError) else "",
)
def test_a_message_quotes_the_facts_and_says_what_to_do(error: CasError, words: list[str]) -> None:
    assert [] == [word for word in words if word not in str(error)]


def _is_error_below_the_root(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, CasError) and value is not CasError

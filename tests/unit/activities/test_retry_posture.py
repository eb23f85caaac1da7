from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import LocationDenied, OutputNotJson, ToolFailed
from activities.retry_posture import POSTURES, Posture, posture_of, to_application_error, unexpected_error
from activities.sandbox import errors as sandbox
from agentflow.errors import AgentflowError, leaf_errors
from agentflow.money import MicroUsd
from cas.errors import (
    BudgetExceeded,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RateLimitReached,
)

#: What an activity can raise; the API, the client, the compiler and the command line are not activities.
RAISED_BY_STEPS = {
    f"{package}.errors"
    for package in [
        "agentflow",
        "activities",
        "activities.mcp",
        "activities.sandbox",
        "runs",
        "promptops",
        "scl",
        "cas",
        "observability",
    ]
}


class Forgotten(AgentflowError):
    """An error that nobody gave a posture."""

    code = "test.forgotten"


def test_every_error_that_a_step_can_die_of_has_a_posture() -> None:
    leaves = {leaf for leaf in leaf_errors() if leaf.__module__ in RAISED_BY_STEPS}

    assert set() == leaves - set(POSTURES)
    assert set() == set(POSTURES) - leaves


def test_an_error_without_a_posture_fails_at_once() -> None:
    failure = to_application_error(Forgotten("no one thought of it"))

    assert Posture.FAIL is posture_of(Forgotten())
    assert ("test.forgotten", True) == (failure.type, failure.non_retryable)


@pytest.mark.parametrize("status", [429, None])
def test_the_vendors_waiting_time_is_when_the_next_attempt_begins(status: int | None) -> None:
    error = RateLimited(provider="openai", model="small-1", status=status, retry_after_seconds=7.5)

    failure = to_application_error(error)

    assert timedelta(seconds=7.5) == failure.next_retry_delay
    assert ("provider.rate_limited", False) == (failure.type, failure.non_retryable)
    assert str(error) == failure.message


@given(st.floats(min_value=0, max_value=1e12))
def test_no_vendor_is_waited_for_longer_than_five_minutes(seconds: float) -> None:
    error = ProviderUnavailable(provider="openai", model="small-1", status=503, retry_after_seconds=seconds)

    delay = to_application_error(error).next_retry_delay

    assert timedelta(seconds=min(seconds, 300)) == delay


def test_a_turn_that_is_booked_is_waited_for_however_late_it_is() -> None:
    error = RateLimitReached(provider="openai", model="small-1", retry_after_seconds=7_200)

    assert timedelta(hours=2) == to_application_error(error).next_retry_delay


@pytest.mark.parametrize(
    "error",
    [
        RateLimited(provider="openai", model="small-1"),
        ProviderTimeout(provider="openai", model="small-1"),
        ToolFailed(tool="s3.fetch", reason="the store is away"),
        OutputNotJson(node_id="a", finish_reason="stop"),
    ],
)
def test_without_a_waiting_time_the_retry_policy_decides(error: AgentflowError) -> None:
    failure = to_application_error(error)

    assert not failure.non_retryable
    assert failure.next_retry_delay is None


@pytest.mark.parametrize(
    "error",
    [
        ProviderRejected(provider="openai", model="small-1", status=400),
        BudgetExceeded(budget_id="b", missing=MicroUsd(1), scope="daily"),
        LocationDenied(location="a", reason="it leads out of its bucket"),
    ],
)
def test_what_would_fail_the_same_way_again_is_not_tried_again(error: AgentflowError) -> None:
    failure = to_application_error(error)

    assert failure.non_retryable
    assert failure.next_retry_delay is None
    assert (error.code, str(error)) == (failure.type, failure.message)


def test_an_unexpected_error_is_tried_again_after_a_pause_and_tells_only_its_kind() -> None:
    original = KeyError("jane@example.com")
    original.__cause__ = ValueError("4111 1111 1111 1111")

    failure = unexpected_error(original)

    assert "unexpected KeyError; the worker's log has the details" == failure.message
    assert ("step.unexpected", False) == (failure.type, failure.non_retryable)
    assert timedelta(seconds=5) == failure.next_retry_delay
    assert () == tuple(failure.details)
    assert failure.__cause__ is None


def test_what_a_guest_wrote_stays_out_of_history() -> None:
    errors = [
        sandbox.GuestRaised(reason="ValueError: secret", traceback="main.py: secret"),
        sandbox.GuestRaised(reason="secret words: secret", traceback=""),
        sandbox.GuestCrashed(reason="secret", logs="secret"),
        sandbox.AccessDenied(operation="open('secret')"),
    ]

    for error in errors:
        assert "secret" in str(error)
        assert "secret" not in to_application_error(error).message
    assert "ValueError" in to_application_error(errors[0]).message

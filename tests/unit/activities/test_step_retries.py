from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from activities.errors import TimeRanOut, ToolFailed, WorkersLost
from activities.step_retries import as_failure, as_unexpected_failure, is_excused
from agentflow.errors import AgentflowError, BlobStoreUnavailable
from agentflow.money import MicroUsd
from cas.errors import BudgetExceeded, RateLimitReached
from runs.errors import EffectInDoubt, StaleFence, StepClaimed
from runs.plan import RetryPlan

FAILED = ToolFailed(tool="s3.fetch", reason="the store is away")
LATER = RateLimitReached(provider="openai", model="small-1", retry_after_seconds=7)
GONE = OperationalError("SELECT 1", None, psycopg.OperationalError("the connection is lost"))


@pytest.mark.parametrize(("attempt", "retries"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_failure_is_repeated_until_the_attempts_are_used_up(attempt: int, retries: bool) -> None:
    assert retries is not as_failure(FAILED, RetryPlan(attempts=3), attempt=attempt).non_retryable
    assert retries is not as_unexpected_failure(OSError(), RetryPlan(attempts=3), attempt=attempt).non_retryable


@pytest.mark.parametrize("when", [None, "error.retryable"])
def test_what_the_platform_has_to_answer_for_is_repeated_beyond_the_attempts(when: str | None) -> None:
    retry = RetryPlan(attempts=1, when=when)

    assert not as_failure(LATER, retry, attempt=1).non_retryable
    assert timedelta(seconds=7) == as_failure(LATER, retry, attempt=1).next_retry_delay
    assert not as_unexpected_failure(GONE, retry, attempt=1).non_retryable


@pytest.mark.parametrize(
    ("error", "excused"),
    [
        (LATER, True),
        (StepClaimed(node_id="a", retry_after_seconds=1), True),
        (StaleFence(node_id="a", fence=2), True),
        (BlobStoreUnavailable(store="s3", reason="away"), True),
        (GONE, True),
        (OperationalError("x", None, psycopg.errors.AdminShutdown("stopping")), True),
        (OperationalError("x", None, psycopg.errors.TooManyConnections("full")), True),
        (DBAPIError("x", None, psycopg.InterfaceError("closed")), True),
        (DBAPIError("x", None, ValueError("lost"), connection_invalidated=True), True),
        (PoolTimeout("no connection is free"), True),
        (FAILED, False),
        (OperationalError("x", None, psycopg.errors.OutOfMemory("full")), True),
        (OperationalError("x", None, psycopg.errors.LockNotAvailable("held")), False),
        (IntegrityError("x", None, psycopg.errors.UniqueViolation("twice")), False),
        (DBAPIError("x", None, psycopg.DataError("a NUL in a text")), False),
        (OSError("no space is left"), False),
    ],
    ids=lambda value: type(getattr(value, "orig", None) or value).__name__,
)
def test_which_ends_of_an_attempt_are_excused(error: Exception, excused: bool) -> None:
    assert excused is is_excused(error)


@pytest.mark.parametrize(
    "error",
    [
        EffectInDoubt(node_id="a"),
        TimeRanOut(attempts=4, limit_seconds=30),
        WorkersLost(workers=17),
    ],
)
def test_no_document_brings_an_attempt_that_may_not_be(error: AgentflowError) -> None:
    assert as_failure(error, RetryPlan(attempts=9, when="true"), attempt=1).non_retryable


def test_a_condition_decides_within_the_attempts() -> None:
    spent = BudgetExceeded(budget_id="b", missing=MicroUsd(2), scope="daily")
    retry = RetryPlan(attempts=3, when="error.code == 'budget.exceeded' && attempt < 3")

    assert [False, False, True] == [as_failure(spent, retry, attempt=n).non_retryable for n in (1, 2, 3)]
    assert as_failure(FAILED, retry, attempt=1).non_retryable


def test_jitter_shortens_the_pause_that_follows_the_attempts_that_count() -> None:
    retry = RetryPlan(initial_seconds=2, factor=3, jitter=0.5)

    delay = as_failure(FAILED, retry, attempt=2, chance=lambda: 1.0).next_retry_delay

    assert timedelta(seconds=3) == delay

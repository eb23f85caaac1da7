from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.common import RetryPolicy
from temporalio.testing import ActivityEnvironment

from activities.attempt_tally import MAX_LOST, AttemptTally
from activities.errors import TimeRanOut, WorkersLost
from runs.plan import RetryPlan

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = timedelta(seconds=30)
#: Pauses of 1, 2, 4 … seconds.
POLICY = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0)


def info(
    attempt: int, details: Sequence[Any] = (), *, scheduled: float = 0.0, limit: timedelta = LIMIT
) -> activity.Info:
    """An attempt that was scheduled so many seconds after BEGAN, its pause included."""
    at = BEGAN + timedelta(seconds=scheduled)
    return replace(
        ActivityEnvironment.default_info(),
        attempt=attempt,
        heartbeat_details=list(details),
        current_attempt_scheduled_time=at,
        started_time=at,
        start_to_close_timeout=limit,
        retry_policy=POLICY,
    )


def after(tally: AttemptTally, *, seconds: float = 0.0) -> AttemptTally:
    """The tally of the attempt that follows, scheduled so many seconds after the one before had begun."""
    began = tally.began_at - BEGAN.timestamp()
    return AttemptTally.of(info(tally.attempt + 1, [tally.details], scheduled=began + seconds))


def first() -> AttemptTally:
    return AttemptTally.of(info(1))


def test_the_first_attempt_has_none_before_it() -> None:
    assert (1, 0, 0) == (first().number, first().counted, first().lost)


@pytest.mark.parametrize("counts", [True, False])
def test_what_an_attempt_says_of_its_end_is_what_counts(counts: bool) -> None:
    tally = first()
    tally.end(counts=counts)

    assert (int(counts), 0) == (after(tally).counted, after(tally).lost)


@pytest.mark.parametrize(("lasted", "counted"), [(29.5, 1), (30.0, 1), (12.0, 0)])
def test_an_attempt_without_a_word_has_run_out_of_its_time_or_was_lost(lasted: float, counted: int) -> None:
    pause = 1.0

    following = after(first(), seconds=lasted + pause)

    assert (counted, 1 - counted) == (following.counted, following.lost)


def test_attempts_that_never_sent_a_heartbeat_were_lost() -> None:
    tally = first()
    tally.end(counts=True)

    following = AttemptTally.of(info(4, [tally.details], scheduled=100))

    assert (1, 2) == (following.counted, following.lost)


def test_attempts_that_are_over_before_a_heartbeat_is_due_have_run_out_of_their_time() -> None:
    following = AttemptTally.of(info(3, limit=timedelta(seconds=2)))

    assert (2, 0) == (following.counted, following.lost)


@pytest.mark.parametrize("details", [["text"], [{}], [{"attempt": "one"}], [None]])
def test_details_that_are_none_of_ours_say_nothing(details: list[Any]) -> None:
    assert 1 == AttemptTally.of(info(2, details, scheduled=5)).lost


def test_an_activity_that_was_reset_begins_anew() -> None:
    tally = AttemptTally(attempt=7, counted=2, lost=4, began_at=0)

    assert (0, 0) == (AttemptTally.of(info(1, [tally.details])).counted, AttemptTally.of(info(1, [tally.details])).lost)


def test_a_step_that_has_used_up_its_attempts_gets_no_other() -> None:
    tally = AttemptTally(attempt=9, counted=3, lost=5, began_at=0)

    tally.check(RetryPlan(attempts=4), info(9))
    with pytest.raises(TimeRanOut, match=r"3 attempts are used up.* is 30 s"):
        tally.check(RetryPlan(attempts=3), info(9))


def test_a_step_that_has_killed_many_workers_gets_no_other() -> None:
    tally = AttemptTally(attempt=20, counted=0, lost=MAX_LOST, began_at=0)

    tally.check(RetryPlan(attempts=1), info(20))
    with pytest.raises(WorkersLost, match="17 workers died"):
        replace(tally, lost=MAX_LOST + 1).check(RetryPlan(attempts=1), info(20))

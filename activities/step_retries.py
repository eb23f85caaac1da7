"""Whether and when a step is tried again: `attempts`, and what documents say by `retry.when` and `jitter`."""

import random
from collections.abc import Callable
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from activities.errors import TimeRanOut, WorkersLost
from activities.retry_posture import Posture, posture_of, to_application_error, unexpected_error
from agentflow.database import is_database_away
from agentflow.errors import AgentflowError, BlobStoreUnavailable
from cas.errors import BudgetOnHold, RateLimitReached
from runs.errors import DeterminismViolation, EffectInDoubt, RunsError, StaleFence, StepClaimed
from runs.expressions import parse_expression
from runs.plan import RetryPlan

#: What is not about the step's work, but about who may record it, or begin it at all: no document has a say in that.
_OUT_OF_HANDS = (DeterminismViolation, EffectInDoubt, StepClaimed, StaleFence, TimeRanOut, WorkersLost, BudgetOnHold)
#: What the platform has to answer for, and not the step.
_EXCUSED = (StepClaimed, StaleFence, RateLimitReached, BudgetOnHold, BlobStoreUnavailable)


def is_excused(error: BaseException) -> bool:
    """Whether an attempt that ended so does not count."""
    return isinstance(error, _EXCUSED) or is_database_away(error)


def as_failure(
    error: AgentflowError, retry: RetryPlan, *, attempt: int, chance: Callable[[], float] = random.random
) -> ApplicationError:
    """The error as Temporal records it; `chance` gives numbers from 0 to 1, `attempt` counts those that count.

    A timeout of an attempt ends the attempt before it can ask: the next one does (see activities.attempt_tally).
    """
    failure = to_application_error(error)
    if isinstance(error, _OUT_OF_HANDS):
        return failure
    retries = not failure.non_retryable if retry.when is None else _is_worth_it(error, retry.when, attempt)
    retries = retries and (is_excused(error) or attempt < retry.attempts)
    delay = failure.next_retry_delay
    if retries and delay is None and retry.jitter:
        delay = timedelta(seconds=_pause_seconds(retry, attempt) * (1 - retry.jitter * chance()))
    return ApplicationError(
        failure.message, type=failure.type, non_retryable=not retries, next_retry_delay=delay if retries else None
    )


def as_unexpected_failure(error: Exception, retry: RetryPlan, *, attempt: int) -> ApplicationError:
    """As `as_failure`, of an error that is none of ours."""
    failure = unexpected_error(error)
    if is_excused(error) or attempt < retry.attempts:
        return failure
    return ApplicationError(failure.message, type=failure.type, non_retryable=True)


def _is_worth_it(error: AgentflowError, condition: str, attempt: int) -> bool:
    retryable = posture_of(error) is Posture.RETRY
    scope = {"error": {"code": error.code, "retryable": retryable}, "attempt": attempt}
    try:
        return parse_expression(condition).evaluate(scope) is True
    except RunsError:
        # A condition that has no value says nothing: the error's kind decides.
        return retryable


def _pause_seconds(retry: RetryPlan, attempt: int) -> float:
    """What Temporal would wait after this attempt (exponential backoff, capped)."""
    # Beyond a few hundred attempts the power is past what a float holds.
    pause = retry.initial_seconds * retry.factor ** min(attempt - 1, 64)
    return min(pause, max(retry.max_seconds, retry.initial_seconds))

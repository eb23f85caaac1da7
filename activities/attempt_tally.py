"""Which attempts of a step count against its `attempts`: those that its own work has ended.

Temporal counts every attempt. Some are ended by the platform and are no fault of the step's: its worker died or was
stopped, the database was away, a rate limit gave it a later turn, another attempt still held it. How the attempts so
far have ended travels in the details of heartbeats, which Temporal gives to the next attempt. One that ended without a
word has run out of its time, which counts, or its worker has died.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from temporalio import activity
from temporalio.common import RetryPolicy

from activities.errors import TimeRanOut, WorkersLost
from runs.plan import RetryPlan

#: Beyond this it is the step that kills its workers.
MAX_LOST = 16
#: A worker that lives sends its first heartbeat within this time.
_FIRST_BEAT_SECONDS = 3.0
#: Between Temporal's clock and the end of an attempt's time.
_TOLERANCE_SECONDS = 1.0


class _Details(BaseModel):
    """What a heartbeat tells of its attempt, and of those before it."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    counted: int
    lost: int
    #: Seconds since the epoch, by Temporal's clock.
    began_at: float
    #: Whether the attempt itself has said how it ended; it is among those that are counted then.
    is_told: bool


@dataclass(slots=True, kw_only=True)
class AttemptTally:
    """How the attempts of a step have ended before this one."""

    #: Of this attempt, by Temporal's count from 1.
    attempt: int
    #: Attempts that ended by their own doing.
    counted: int
    #: Attempts whose worker died.
    lost: int
    began_at: float
    is_told: bool = False

    @classmethod
    def of(cls, info: activity.Info) -> Self:
        """The tally of a running attempt."""
        earlier = _read(info)
        counted, lost, latest = (earlier.counted, earlier.lost, earlier.attempt) if earlier is not None else (0, 0, 0)
        if earlier is not None and not earlier.is_told:
            ran_out = earlier.attempt == info.attempt - 1 and _ran_out(info, earlier)
            counted, lost = counted + ran_out, lost + (not ran_out)
        # Those that have never sent a heartbeat.
        silent = info.attempt - 1 - latest
        if _limit_seconds(info) > _FIRST_BEAT_SECONDS:
            lost += silent
        else:
            counted += silent
        return cls(attempt=info.attempt, counted=counted, lost=lost, began_at=info.started_time.timestamp())

    @property
    def number(self) -> int:
        """Of this attempt among those that count, from 1."""
        return self.counted + 1

    @property
    def details(self) -> dict[str, Any]:
        """What the next attempt is to know."""
        return _Details(
            attempt=self.attempt,
            counted=self.counted,
            lost=self.lost,
            began_at=self.began_at,
            is_told=self.is_told,
        ).model_dump()

    def end(self, *, counts: bool) -> None:
        """To be called when the attempt has failed and is to be followed by another."""
        self.counted += counts
        self.is_told = True

    def check(self, retry: RetryPlan, info: activity.Info) -> None:
        """Raises TimeRanOut or WorkersLost when there is to be no attempt any more."""
        if self.lost > MAX_LOST:
            raise WorkersLost(workers=self.lost)
        if self.counted >= retry.attempts:
            raise TimeRanOut(attempts=retry.attempts, limit_seconds=_limit_seconds(info))


_CURRENT: ContextVar[AttemptTally | None] = ContextVar("attempt_tally", default=None)


def enter_attempt(info: activity.Info) -> AttemptTally:
    """The tally of an attempt that begins, which is the current one of its task from here on."""
    tally = AttemptTally.of(info)
    _CURRENT.set(tally)
    return tally


def current_tally() -> AttemptTally:
    """The tally of the attempt that is running."""
    return _CURRENT.get() or enter_attempt(activity.info())


def _read(info: activity.Info) -> _Details | None:
    """What the latest attempt that had something to say has said; None where there is none."""
    try:
        details = _Details.model_validate(info.heartbeat_details[0]) if info.heartbeat_details else None
    except ValidationError:
        return None
    # An operator who resets an activity begins its count anew.
    return details if details is not None and details.attempt < info.attempt else None


def _ran_out(info: activity.Info, earlier: _Details) -> bool:
    """Whether the attempt before this one has lasted as long as it might."""
    pause = _pause_seconds(info.retry_policy, earlier.attempt)
    lasted = info.current_attempt_scheduled_time.timestamp() - pause - earlier.began_at
    return lasted >= _limit_seconds(info) - _TOLERANCE_SECONDS


def _limit_seconds(info: activity.Info) -> float:
    return (info.start_to_close_timeout or timedelta.max).total_seconds()


def _pause_seconds(policy: RetryPolicy | None, attempt: int) -> float:
    """What Temporal waits after an attempt that ended without a word."""
    if policy is None:
        return 0.0
    pause = policy.initial_interval.total_seconds() * policy.backoff_coefficient ** min(attempt - 1, 64)
    longest = policy.maximum_interval or 100 * policy.initial_interval
    return min(pause, longest.total_seconds())

"""Heartbeats for every activity that has a heartbeat timeout, so that no activity has to think of them.

A heartbeat is also how a cancellation arrives, and how a dead worker is told from a slow vendor.
"""

import asyncio
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.attempt_tally import AttemptTally, enter_attempt

#: Of the timeout: two beats may be lost.
_SHARE_OF_TIMEOUT = 0.3
#: A cancellation is to arrive within seconds, however long the timeout.
_LONGEST_INTERVAL_SECONDS = 2.0


class HeartbeatInterceptor(Interceptor):
    """Beats while the activity runs."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Temporal's hook."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        timeout, tally = info.heartbeat_timeout, enter_attempt(info)
        if timeout is None or not timeout:
            return await self.next.execute_activity(input)
        heart = _Heart(min(timeout.total_seconds() * _SHARE_OF_TIMEOUT, _LONGEST_INTERVAL_SECONDS), tally)
        try:
            return await self.next.execute_activity(input)
        finally:
            heart.stop()


class _Heart:
    """Beats from now on; by the loop's own clock, because most steps end before a task for it would have begun."""

    def __init__(self, interval_seconds: float, tally: AttemptTally) -> None:
        self._loop, self._interval_seconds, self._tally = asyncio.get_running_loop(), interval_seconds, tally
        # The start of an activity is a sign of life itself: a step that is shorter than the interval sends nothing.
        self._next = self._loop.call_later(interval_seconds, self._beat)

    def _beat(self) -> None:
        self._next = self._loop.call_later(self._interval_seconds, self._beat)
        activity.heartbeat(self._tally.details)

    def stop(self) -> None:
        """The last beat was the last."""
        self._next.cancel()

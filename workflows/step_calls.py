"""How the interpreter calls activities: queues, timeouts, retries, and what a failure means; in every workflow alike.

Runs inside workflows: no I/O and no clock.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

with workflow.unsafe.imports_passed_through():
    from activities.map_payloads import RUN_BATCH, BatchCall, BatchDone
    from activities.payloads import (
        MAX_EXCUSED_ATTEMPTS,
        STEP_ACTIVITIES,
        STEP_QUEUES,
        SkeletonNode,
        StepCall,
        StepDone,
    )

MAX_ERROR_CHARACTERS = 2_000
#: Bookkeeping is our own database: it is worth waiting for a restart of it.
BOOKKEEPING: Mapping[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    # So soon another worker takes over from one that died.
    "heartbeat_timeout": timedelta(seconds=10),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=10)),
}
#: Bookkeeping that goes over every item of a map.
LONG_BOOKKEEPING: Mapping[str, Any] = {
    **BOOKKEEPING,
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": timedelta(seconds=30),
}
_LONGEST_BATCH_SECONDS = 3_600.0

_Result = TypeVar("_Result")


class NodeFailed(Exception):  # internal
    """A node, or an item of one, has failed for good."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message[:MAX_ERROR_CHARACTERS]
        super().__init__(message)


class NotBegun(Exception):  # a way out, not an error
    """A step was held back until a node failed, after which nothing more begins."""


async def execute(activity: str, call: Any, result_type: type[_Result], **options: Any) -> _Result:
    """The activity's result; raises NodeFailed, or CancelledError when it was cancelled."""
    try:
        done: _Result = await workflow.execute_activity(activity, call, result_type=result_type, **options)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise asyncio.CancelledError from error
        raise NodeFailed(code_of(error), message_of(error)) from error
    except ApplicationError as error:
        # The call itself does not fit into history.
        raise NodeFailed(error.type or "step.failed", error.message) from error
    return done


async def execute_step(node: SkeletonNode, call: StepCall) -> StepDone:
    """One step of a node, on the queue of its kind; raises as `execute`."""
    return await execute(
        STEP_ACTIVITIES[node.kind],
        call,
        StepDone,
        task_queue=(node.llm_queue if node.kind == "llm" else None) or STEP_QUEUES[node.kind],
        summary=node.node_id if call.item_index is None else f"{node.node_id}[{call.item_index}]",
        start_to_close_timeout=timedelta(seconds=node.run_seconds),
        heartbeat_timeout=timedelta(seconds=node.idle_seconds),
        schedule_to_start_timeout=_optional(node.queue_seconds),
        schedule_to_close_timeout=_optional(node.total_seconds),
        retry_policy=_retry_policy(node),
        # What loses a race ends while others go on, and what it has spent by then is to be told in time.
        cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL
        if node.kind == "llm" and not (call.part or "").startswith("branch:")
        else workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


async def execute_batch(node: SkeletonNode, call: BatchCall) -> BatchDone:
    """One batch of a map's items, which has the time of all of them; raises as `execute`."""
    seconds = min(node.run_seconds * node.batch, _LONGEST_BATCH_SECONDS)
    return await execute(
        RUN_BATCH,
        call,
        BatchDone,
        summary=f"{node.node_id} batch {call.batch}",
        start_to_close_timeout=timedelta(seconds=seconds),
        heartbeat_timeout=timedelta(seconds=node.idle_seconds),
        schedule_to_start_timeout=_optional(node.queue_seconds),
        schedule_to_close_timeout=_optional(node.total_seconds),
        retry_policy=_retry_policy(node),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def is_cancelled(node: SkeletonNode) -> bool:
    """Whether a cancellation has come that is this node's, too; those of `finally` run because of it."""
    # The reason may be an empty text.
    return not node.is_final and workflow.cancellation_reason() is not None


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they have ended."""
    cancelled = list(tasks)
    for task in cancelled:
        task.cancel()
    await asyncio.gather(*cancelled, return_exceptions=True)


def code_of(error: ActivityError) -> str:
    """The code of the failure behind an activity's error."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type:
        return cause.type
    return "step.timeout" if isinstance(cause, ActivityTimeoutError) else "step.failed"


def message_of(error: ActivityError) -> str:
    """What the failure behind an activity's error says."""
    cause = error.cause
    if isinstance(cause, ActivityTimeoutError):
        return f"{error.activity_type} ran into its {cause.type.name.lower() if cause.type else ''} timeout"
    return str(cause.message if isinstance(cause, ApplicationError) else cause or error)


def _retry_policy(node: SkeletonNode) -> RetryPolicy:
    return RetryPolicy(
        # The step itself counts those that it is to blame for, and ends after `attempts` of them.
        maximum_attempts=node.attempts + MAX_EXCUSED_ATTEMPTS,
        initial_interval=timedelta(seconds=node.initial_seconds),
        backoff_coefficient=node.factor,
        maximum_interval=timedelta(seconds=max(node.max_seconds, node.initial_seconds)),
    )


def _optional(seconds: float | None) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds is not None else None

"""The task queues that there are, as people name them, and what Temporal knows and can be told of each.

A queue's rates are Temporal's own configuration of it: they hold for all workers together, outlive them, and take
effect within seconds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    UpdateTaskQueueConfigRequest,
)
from temporalio.client import Client

from activities.payloads import (
    CODE_QUEUE,
    LLM_QUEUE,
    RUNS_QUEUE,
    TOOLS_QUEUE,
)
from activities.provider_queues import provider_queue
from agentflow.settings import Settings

_KINDS = {"runs": RUNS_QUEUE, "llm": LLM_QUEUE, "tools": TOOLS_QUEUE, "code": CODE_QUEUE}
_OF_PROVIDER = re.compile(r"llm:([a-z0-9_-]{1,32})")
_RateLimitUpdate = UpdateTaskQueueConfigRequest.RateLimitUpdate


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """What waits in a task queue, who takes it, and how fast it may be handed out."""

    name: str
    task_queue: str
    waiting: int
    oldest_seconds: float
    added_per_second: float
    taken_per_second: float
    pollers: int
    #: Of all steps together, and of those of one fairness key; None is no limit.
    per_second: float | None
    per_second_of_key: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChange:
    """A rate to set; None takes it away."""

    per_second: float | None


def queue_names(settings: Settings) -> list[str]:
    """Every queue, as `--queues` names it."""
    return [*_KINDS, *(f"llm:{provider}" for provider in settings.llm_provider_queues)]


def read_queue_names(text: str) -> list[str]:
    """The queues of `runs,llm:openai`; raises ValueError for one that there cannot be."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not all(name in _KINDS or is_of_provider(name) for name in names):
        raise ValueError(f"name some of {','.join(_KINDS)}, and llm:PROVIDER, separated by commas")
    return list(dict.fromkeys(names))


def is_of_provider(name: str) -> bool:
    """Whether the name is of one provider's queue, `llm:openai`."""
    return _OF_PROVIDER.fullmatch(name) is not None


def task_queue_of(name: str) -> str:
    """What Temporal calls the queue; raises KeyError."""
    match = _OF_PROVIDER.fullmatch(name)
    return provider_queue(match.group(1)) if match is not None else _KINDS[name]


class TaskQueues:
    """The queues of a namespace."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal

    async def states(self, names: Sequence[str]) -> list[QueueState]:
        """How each of the queues stands; raises RPCError."""
        return [self._state(name, await self._describe(name)) for name in names]

    async def limit(
        self, name: str, *, whole: RateChange | None = None, each_key: RateChange | None = None, reason: str
    ) -> QueueState:
        """Sets the rates that are given, and leaves the others; raises RPCError."""
        await self._temporal.workflow_service.update_task_queue_config(
            UpdateTaskQueueConfigRequest(
                namespace=self._temporal.namespace,
                identity=self._temporal.identity,
                task_queue=task_queue_of(name),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                update_queue_rate_limit=_update(whole, reason),
                update_fairness_key_rate_limit_default=_update(each_key, reason),
            )
        )
        return self._state(name, await self._describe(name))

    async def _describe(self, name: str) -> DescribeTaskQueueResponse:
        return await self._temporal.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._temporal.namespace,
                task_queue=TaskQueue(name=task_queue_of(name)),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                report_stats=True,
                report_config=True,
            )
        )

    @staticmethod
    def _state(name: str, found: DescribeTaskQueueResponse) -> QueueState:
        stats, config = found.stats, found.config
        whole, each_key = config.queue_rate_limit, config.fairness_keys_rate_limit_default
        return QueueState(
            name=name,
            task_queue=task_queue_of(name),
            waiting=stats.approximate_backlog_count,
            oldest_seconds=stats.approximate_backlog_age.ToMilliseconds() / 1_000,
            added_per_second=stats.tasks_add_rate,
            taken_per_second=stats.tasks_dispatch_rate,
            pollers=len({poller.identity for poller in found.pollers}),
            per_second=whole.rate_limit.requests_per_second if whole.HasField("rate_limit") else None,
            per_second_of_key=each_key.rate_limit.requests_per_second if each_key.HasField("rate_limit") else None,
        )


def _update(change: RateChange | None, reason: str) -> _RateLimitUpdate | None:
    if change is None:
        return None
    if change.per_second is None:
        return _RateLimitUpdate(reason=reason)
    return _RateLimitUpdate(rate_limit=RateLimit(requests_per_second=change.per_second), reason=reason)

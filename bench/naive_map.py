"""A map as it is written by hand on Temporal: an activity for each item, a window of them at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

QUEUE = "bench-naive-map"
#: All at once is slower: Temporal fails a workflow task that more than 100 events have arrived behind.
WINDOW = 100


@activity.defn(name="naive_item")
async def naive_item(number: int) -> dict[str, int]:
    return {"value": number}


@workflow.defn(name="NaiveMap")
class NaiveMap:
    @workflow.run
    async def run(self, count: int) -> int:
        window = asyncio.Semaphore(WINDOW)

        async def one(number: int) -> dict[str, int]:
            async with window:
                return await workflow.execute_activity(naive_item, number, start_to_close_timeout=timedelta(seconds=60))

        return len(await asyncio.gather(*(one(number) for number in range(count))))


@asynccontextmanager
async def naive_worker(temporal: Client) -> AsyncIterator[None]:
    """A worker with the pollers of ours."""
    polling = PollerBehaviorAutoscaling(minimum=1, maximum=20, initial=4)
    async with Worker(
        temporal,
        task_queue=QUEUE,
        workflows=[NaiveMap],
        activities=[naive_item],
        build_id="bench",
        max_concurrent_activities=100,
        workflow_runner=UnsandboxedWorkflowRunner(),
        activity_task_poller_behavior=polling,
        workflow_task_poller_behavior=polling,
    ):
        yield

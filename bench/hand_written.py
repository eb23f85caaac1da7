"""What an engineer would write by hand on Temporal: two shapes of our own activities, and bare calls of a model."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.payloads import (
        RUN_FUNCTION,
        RUNS_QUEUE,
        RunRef,
        StepCall,
        StepDone,
    )


BARE_CALL = "bare_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandWrittenStart:
    run: RunRef
    node_ids: list[str]


@workflow.defn(name="HandWrittenFanOut")
class HandWrittenFanOut:
    """All at once."""

    @workflow.run
    async def run(self, start: HandWrittenStart) -> int:
        results = await asyncio.gather(*(_step(start.run, node_id, {}) for node_id in start.node_ids))
        return len(results)


@workflow.defn(name="HandWrittenChain")
class HandWrittenChain:
    """One after the other, each reading the one before."""

    @workflow.run
    async def run(self, start: HandWrittenStart) -> int:
        outputs: dict[str, str | None] = {}
        for node_id in start.node_ids:
            done = await _step(start.run, node_id, outputs)
            outputs = {node_id: done.digest}
        return len(start.node_ids)


@workflow.defn(name="HandWrittenCalls")
class HandWrittenCalls:
    """Bare calls of a model, one after the other."""

    @workflow.run
    async def run(self, label: str, count: int) -> int:
        for number in range(count):
            await workflow.execute_activity(
                BARE_CALL,
                f"{label}, passage {number}",
                start_to_close_timeout=timedelta(seconds=60),
                heartbeat_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(maximum_attempts=4),
            )
        return count


async def _step(run: RunRef, node_id: str, outputs: dict[str, str | None]) -> StepDone:
    done: StepDone = await workflow.execute_activity(
        RUN_FUNCTION,
        StepCall(run=run, node_id=node_id, outputs=outputs),
        result_type=StepDone,
        task_queue=RUNS_QUEUE,
        start_to_close_timeout=timedelta(seconds=60),
        heartbeat_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(maximum_attempts=4),
    )
    return done

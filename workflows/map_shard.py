"""The workflow of a range of a large map: a history of its own, so that none grows with the list."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.gate_payloads import DECIDE, Decision
    from activities.map_payloads import BatchDone, ShardStart
    from activities.payloads import PAUSE, RESUME
    from workflows.doubts import Doubts
    from workflows.gates import Gates
    from workflows.map_run import MAP_SHARD, MapRange, MapRun, steps_of_shard
    from workflows.step_calls import NodeFailed
    from workflows.step_performer import StepPerformer
    from workflows.throttle import Throttle


@workflow.defn(name=MAP_SHARD)
class MapShard:
    """Works through some hundreds of steps, or through shards of its own."""

    @workflow.init
    def __init__(self, start: ShardStart) -> None:
        self._start = start
        self._items_done = 0
        extent = MapRange(
            run=start.run,
            node=start.node,
            outputs=start.outputs,
            opened=start.opened,
            item_count=start.opened.item_count,
            first_step=start.first_step,
            step_count=start.step_count,
            window=start.window,
            allowed_failures=start.allowed_failures,
            generation=start.generation,
            local=start.local,
        )
        self._throttle, self._gates = Throttle(is_paused=start.is_paused), Gates()
        self._map = MapRun(extent, self._count, StepPerformer(self._throttle, Doubts(self._gates)))

    @workflow.run
    async def run(self, start: ShardStart) -> BatchDone:
        """How the items ended; fewer than there are when it was told to stop, or too many had failed."""
        try:
            if start.step_count <= steps_of_shard(start.node):
                done = await self._map.run_steps()
            else:
                done = await self._map.run()
        except NodeFailed as failure:
            raise ApplicationError(failure.message, type=failure.code, non_retryable=True) from failure
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError
        return done

    @workflow.signal(name="stop")
    def stop(self) -> None:
        """Lets nothing more begin."""
        self._map.stop()

    @workflow.signal(name=PAUSE)
    def pause(self) -> None:
        """Lets nothing more begin for the time being."""
        self._throttle.pause()

    @workflow.signal(name=RESUME)
    def resume(self) -> None:
        """Lets steps begin again."""
        self._throttle.resume()

    @workflow.update(name=DECIDE)
    def decide(self, decision: Decision) -> None:
        """A person's word on a step in doubt."""
        self._gates.decide(decision)

    @decide.validator
    def _check_decision(self, decision: Decision) -> None:
        self._gates.check_decision(decision)

    @workflow.query(name="status")
    def status(self) -> int:
        """How many items have ended."""
        return self._items_done

    def _count(self, items: int) -> None:
        self._items_done += items

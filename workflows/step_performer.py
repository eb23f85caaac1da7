"""How any step is performed, whatever it does: held back by the throttle, as an activity, or as a run below."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.map_payloads import BatchCall, BatchDone
    from activities.payloads import SkeletonNode, StepCall, StepDone
    from workflows.child_runs import run_child
    from workflows.doubts import Doubts
    from workflows.step_calls import NotBegun, execute_batch
    from workflows.throttle import Throttle


class StepPerformer:
    """Performs the steps of one workflow."""

    def __init__(self, throttle: Throttle, doubts: Doubts) -> None:
        self.throttle, self.doubts = throttle, doubts
        self._is_stopped = False

    def stop(self) -> None:
        """Lets nothing more begin but what is final."""
        self._is_stopped = True

    async def perform(self, node: SkeletonNode, call: StepCall) -> StepDone:
        """The step's output; raises as `execute`, or NotBegun."""
        async with self.throttle:
            self._check(node)
            if node.kind == "workflow":
                with self.doubts.under_way(call.node_id):
                    return await run_child(call, self.throttle)
            return await self.doubts.perform(node, call)

    async def perform_batch(self, node: SkeletonNode, call: BatchCall) -> BatchDone:
        """How the items of a batch ended; raises as `perform`."""
        async with self.throttle:
            self._check(node)
            return await execute_batch(node, call)

    def _check(self, node: SkeletonNode) -> None:
        if self._is_stopped and not node.is_final and workflow.patched("nothing-begins-late"):
            raise NotBegun

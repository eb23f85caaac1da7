"""Steps whose effect may have happened: they wait at a gate until a person says what became of it.

Stands between the interpreter and a tool step. A step that ends without a word is looked up in the journal; where that
does not know either, nothing is done again, and the run waits as it does for an approval.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.gate_payloads import (
        CLOSE_DOUBT,
        DOUBT_RECORDED,
        DOUBT_SETTLED,
        OPEN_DOUBT,
        CloseDoubtCall,
        DoubtCall,
        DoubtClosed,
        OpenedGate,
    )
    from activities.payloads import SkeletonNode, StepCall, StepDone
    from runs.errors import EffectInDoubt
    from workflows.gates import Gates
    from workflows.step_calls import BOOKKEEPING, NodeFailed, execute, execute_step, is_cancelled

#: Failures that leave open what the last attempt did; what a tool itself reports leaves nothing open.
_WITHOUT_A_WORD = frozenset(
    {
        EffectInDoubt.code,
        "step.timeout",
        "step.failed",
        "step.unexpected",
        "step.workers_lost",
        "step.worker_stopped",
        "tool.effect_uncertain",
    }
)


class Doubts:
    """The tool steps of one run, and those of them that wait for a person."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self._under_way: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    @property
    def open_gates(self) -> int:
        """How many steps wait for a person."""
        return self._waiting.total()

    def hold_up(self, node_id: str) -> bool:
        """Whether all that is under way of a node waits for a person."""
        return 0 < self._under_way[node_id] == self._waiting[node_id]

    @contextmanager
    def under_way(self, node_id: str) -> Iterator[None]:
        """Work on a node, which no doubt of another of its steps may interrupt."""
        self._under_way[node_id] += 1
        try:
            yield
        finally:
            self._under_way[node_id] -= 1

    async def perform(self, node: SkeletonNode, call: StepCall) -> StepDone:
        """The step's output, from the step itself or from a person; raises as `execute_step`."""
        with self.under_way(call.node_id):
            while True:
                try:
                    return await execute_step(node, call)
                except NodeFailed as failure:
                    if node.kind != "tool" or failure.code not in _WITHOUT_A_WORD or not workflow.patched("in-doubt"):
                        raise
                    if _is_cancelled(node):
                        # It ran out of time before it heard of it; the end of the run puts it in doubt.
                        raise asyncio.CancelledError from failure
                    done = await self._settle(call, failure)
                if done is not None:
                    return done

    async def _settle(self, call: StepCall, failure: NodeFailed) -> StepDone | None:
        """The step's output when a person gives it; None when the step is to be asked again."""
        opened = await execute(OPEN_DOUBT, DoubtCall(step=call), OpenedGate, **BOOKKEEPING)
        if opened.kind == DOUBT_SETTLED:
            raise failure
        if opened.kind == DOUBT_RECORDED:
            return None
        self._waiting[call.node_id] += 1
        try:
            decision = await self._gates.decision_on(opened)
        finally:
            self._waiting[call.node_id] -= 1
        closing = CloseDoubtCall(step=call, gate=opened, decision=decision)
        closed = await execute(CLOSE_DOUBT, closing, DoubtClosed, **BOOKKEEPING)
        if closed.is_given_up:
            raise NodeFailed(EffectInDoubt.code, f"{decision.decided_by} gave it up: {failure.message}") from failure
        return closed.done


def _is_cancelled(node: SkeletonNode) -> bool:
    """Whether a cancellation has come that the end of an activity has overtaken."""
    task = asyncio.current_task()
    return is_cancelled(node) or (task is not None and task.cancelling() > 0)

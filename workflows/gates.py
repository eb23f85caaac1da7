"""What a run waits for from outside: decisions and events as updates, times as timers.

Updates are checked before they enter history: one that comes too late, or is about something else, is refused and
leaves no trace. What is accepted is in history, and cannot be lost.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.gate_payloads import (
        CLOSE_GATE,
        ESCALATE_GATE,
        OPEN_GATE,
        CloseGateCall,
        Decision,
        Delivery,
        EscalateCall,
        GateCall,
        OpenedGate,
    )
    from activities.payloads import RunRef, SkeletonNode, StepDone
    from workflows.step_calls import BOOKKEEPING, execute

#: Types of the failures that refuse an update; the service tells them apart.
NOT_OPEN = "gate.not_open"
STALE = "approval.stale"


@dataclass(slots=True)
class _Waiting:
    gate: OpenedGate
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    decision: Decision | None = None
    delivery: Delivery | None = None

    @property
    def is_decided(self) -> bool:
        return self.decision is not None or self.delivery is not None


class Gates:
    """The gates of one run that are open."""

    def __init__(self, on_open: Callable[[], None] = lambda: None) -> None:
        """`on_open` is told whenever one more gate waits."""
        self._open: dict[str, _Waiting] = {}
        self._on_open = on_open

    @property
    def has_arrivals(self) -> bool:
        """Whether something has come that its node has not taken yet."""
        return any(waiting.is_decided for waiting in self._open.values())

    def are_open(self, count: int) -> bool:
        """Whether so many nodes are past opening and before closing."""
        return len(self._open) == count

    async def pass_through(self, run: RunRef, node: SkeletonNode, outputs: dict[str, str | None]) -> StepDone:
        """Opens the node's gate, waits, and records how it ended; raises as `execute`."""
        call = GateCall(run=run, node_id=node.node_id, outputs=outputs)
        opened = await execute(OPEN_GATE, call, OpenedGate, **BOOKKEEPING)
        waiting = self._open[opened.gate_id] = _Waiting(opened)
        if opened.delivery is not None:
            # It had come before anything waited for it.
            waiting.delivery = opened.delivery
            waiting.arrived.set()
        self._on_open()
        try:
            await self._wait(run, node, waiting)
        finally:
            del self._open[opened.gate_id]
        closing = CloseGateCall(
            run=run, node_id=node.node_id, gate=opened, decision=waiting.decision, delivery=waiting.delivery
        )
        return await execute(CLOSE_GATE, closing, StepDone, **BOOKKEEPING)

    async def decision_on(self, opened: OpenedGate) -> Decision:
        """What a person says at a gate that nothing else closes."""
        waiting = self._open[opened.gate_id] = _Waiting(opened)
        self._on_open()
        try:
            await waiting.arrived.wait()
        finally:
            del self._open[opened.gate_id]
        if waiting.decision is None:
            raise RuntimeError("a gate of a step in doubt was passed without a decision")
        return waiting.decision

    def check_decision(self, decision: Decision) -> None:
        """Refuses a decision on what is not open, or was not what was looked at."""
        waiting = self._open.get(decision.gate_id)
        asked_for = "approval" if decision.resolution is None else "in_doubt"
        if waiting is None or waiting.is_decided or waiting.gate.kind != asked_for:
            raise ApplicationError(f"{decision.gate_id} is not open", type=NOT_OPEN, non_retryable=True)
        if waiting.gate.subject_digest != decision.subject_digest:
            raise ApplicationError(f"{decision.gate_id} is about other content", type=STALE, non_retryable=True)

    def decide(self, decision: Decision) -> None:
        """Takes a decision that was checked."""
        waiting = self._open[decision.gate_id]
        waiting.decision = decision
        waiting.arrived.set()

    def check_delivery(self, delivery: Delivery) -> None:
        """Refuses an event that nobody waits for."""
        if not self._waiting_for(delivery.event_key):
            raise ApplicationError(f"nothing waits for event {delivery.event_key!r}", type=NOT_OPEN, non_retryable=True)

    def deliver(self, delivery: Delivery) -> None:
        """Gives an event to all that wait for it."""
        for waiting in self._waiting_for(delivery.event_key):
            waiting.delivery = delivery
            waiting.arrived.set()

    def _waiting_for(self, event_key: str) -> list[_Waiting]:
        return [
            waiting for waiting in self._open.values() if waiting.gate.event_key == event_key and not waiting.is_decided
        ]

    async def _wait(self, run: RunRef, node: SkeletonNode, waiting: _Waiting) -> None:
        """Until it is decided or its time is over; lets others decide in between."""
        due = waiting.gate.due_seconds
        began = workflow.time()
        for level, after in enumerate(node.escalate_after):
            if await self._arrives(waiting, began + after - workflow.time()):
                return
            call = EscalateCall(run=run, node_id=node.node_id, gate_id=waiting.gate.gate_id, level=level)
            await execute(ESCALATE_GATE, call, type(None), **BOOKKEEPING)
        await self._arrives(waiting, None if due is None else began + due - workflow.time())

    @staticmethod
    async def _arrives(waiting: _Waiting, seconds: float | None) -> bool:
        if waiting.arrived.is_set():
            return True
        if seconds is not None and seconds <= 0:
            return False
        try:
            await asyncio.wait_for(waiting.arrived.wait(), seconds)
        except TimeoutError:
            # What came in the very task in which the time was over has come.
            return waiting.arrived.is_set()
        return True

"""A small organisation's waits, alone and beside a big one: the same short list, again and again, on the same workers.

A step's wait is from being scheduled to being started, by Temporal's own history. The workers have few slots for model
calls, so that already alone the short list waits for them: it is slots that a queue is unfair about.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from activities.resources import Resources
from agentflow.ids import new_id
from promptops.service import PromptService
from workflows.service import RunRequest, WorkflowService

SMALL_ITEMS, SMALL_WINDOW, BIG_WINDOW = 10, 10, 100
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdWaits:
    """Milliseconds that each step of the small organisation waited."""

    alone: list[float]
    shared: list[float]
    #: How many items of the big one ended while the small one was measured, and in all.
    big_done_meanwhile: int
    big_done: int


class Crowd:
    """Two organisations on one platform."""

    def __init__(self, resources: Resources, service: WorkflowService, temporal: Client) -> None:
        self._resources, self._service, self._temporal = resources, service, temporal
        self._small, self._big = new_id("org"), new_id("org")

    async def measure(self, *, big_items: int, rounds: int, wait_for_end: bool) -> CrowdWaits:
        """Waits alone, then while the big one's items are worked on; the rounds go on one after the other."""
        for org_id, window in ((self._small, SMALL_WINDOW), (self._big, BIG_WINDOW)):
            await self._prepare(org_id, window)
        # The first round makes the worker's connections.
        await self._small_round("warm-up")
        alone = [wait for number in range(rounds) for wait in await self._small_round(f"alone {number}")]
        big = await self._submit(self._big, big_items, "big")
        await self._until(lambda: self._done(big), at_least=BIG_WINDOW)
        before = await self._done(big)
        shared = [wait for number in range(rounds) for wait in await self._small_round(f"shared {number}")]
        after = await self._done(big)
        if wait_for_end:
            await self._temporal.get_workflow_handle(big).result()
        else:
            await self._service.cancel(org_id=self._big, run_id=big)
        done = await self._done(big)
        return CrowdWaits(alone=alone, shared=shared, big_done_meanwhile=after - before, big_done=done)

    async def _prepare(self, org_id: str, window: int) -> None:
        async with self._resources.database.transaction() as session:
            await PromptService(session, self._resources.clock).create_version(
                org_id=org_id, name="ask", template="Answer {{ content }}", input_schema=_SCHEMA
            )
        body = {"type": "llm", "config": {"prompt_ref": "ask@1", "inputs": {"content": "item"}}}
        node = {"id": "each", "type": "map", "config": {"over": "inputs.items_", "window": window, "body": body}}
        await self._service.register(org_id=org_id, text=json.dumps({"name": "crowd", "nodes": [node]}))

    async def _submit(self, org_id: str, count: int, label: str) -> str:
        request = RunRequest(
            workflow_name="crowd",
            workflow_version=None,
            inputs={"items_": [f"{label}, question {number}" for number in range(count)]},
            budget_micro_usd=None,
            idempotency_key=None,
        )
        return (await self._service.submit(org_id=org_id, request=request)).view.run.run_id

    async def _small_round(self, label: str) -> list[float]:
        handle = self._temporal.get_workflow_handle(await self._submit(self._small, SMALL_ITEMS, label))
        await handle.result()
        scheduled: dict[int, int] = {}
        waits: list[float] = []
        async for event in handle.fetch_history_events():
            at = event.event_time.ToNanoseconds()
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                if event.activity_task_scheduled_event_attributes.activity_type.name == "call_llm":
                    scheduled[event.event_id] = at
            elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                began = scheduled.get(event.activity_task_started_event_attributes.scheduled_event_id)
                if began is not None:
                    waits.append((at - began) / 1e6)
        return waits

    async def _done(self, run_id: str) -> int:
        view = await self._service.get_run(org_id=self._big, run_id=run_id)
        return view.nodes[0].items_done or 0

    @staticmethod
    async def _until(count: Callable[[], Awaitable[int]], *, at_least: int) -> None:
        async with asyncio.timeout(120):
            while await count() < at_least:  # noqa: ASYNC110  # what it waits for is in another process
                await asyncio.sleep(0.1)


def p95(waits: list[float]) -> float:
    """The 95th percentile, by nearest rank."""
    return sorted(waits)[max(-(-len(waits) * 95 // 100) - 1, 0)]

"""A world that tools change, where every effect is counted, and tools whose attempts end as a test scripts them."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from activities.errors import EffectUncertain, ToolFailed
from activities.tools.tool import Probed, Tool, ToolContext
from runs.effects import EffectClass
from runs.record_repository import RecordKey, RecordRepository
from runs.signatures import StepSignature
from tests.deadline import deadline

ACT, WRITE = "world.act", "world.write"


class World:
    """What was done, by the name of who wanted it."""

    def __init__(self) -> None:
        #: Who → the idempotency key of each time that it was done.
        self.deeds: dict[str, list[str]] = defaultdict(list)
        #: Who → how each attempt is to go; those after them go well.
        self.script: dict[str, list[str]] = defaultdict(list)
        #: Who → what the tool finds out when it is asked after an earlier attempt.
        self.findings: dict[str, list[Probed]] = defaultdict(list)
        self._released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def reached(self, who: str) -> None:
        """Waits until an attempt of `who` hangs."""
        async with deadline(f"an attempt of {who} to hang"):
            await self._reached[who].wait()

    def release(self, who: str) -> None:
        """Lets attempts of `who` that hang bring their results."""
        self._released[who].set()

    def release_all(self) -> None:
        """So that workers can stop, whatever a test left behind."""
        for released in self._released.values():
            released.set()

    async def act(self, context: ToolContext, arguments: Mapping[str, Any]) -> Any:
        who = str(arguments["who"])
        how = self.script[who].pop(0) if self.script[who] else "well"
        if how == "refused":
            raise ToolFailed(tool=ACT, reason="nothing was done")
        if how == "away":
            gone = psycopg.OperationalError("the connection is lost")
            raise OperationalError("SELECT 1", None, gone, hide_parameters=True)
        self.deeds[who].append(context.idempotency_key)
        if how == "uncertain":
            raise EffectUncertain(tool=ACT, reason="the line went dead")
        if how == "broken":
            raise ValueError("a defect of the tool")
        if how in {"hangs", "deaf"}:
            await self._hang(who, is_deaf=how == "deaf")
        return {"deeds": len(self.deeds[who])}

    async def _hang(self, who: str, *, is_deaf: bool) -> None:
        """Until it is released; who is deaf does not hear a cancellation, as a dead process does not."""
        released = self._released[who]
        self._reached[who].set()
        while not released.is_set():
            if is_deaf:
                with suppress(asyncio.CancelledError):
                    await released.wait()
            else:
                await released.wait()

    async def probe(self, _context: ToolContext, arguments: Mapping[str, Any]) -> Probed:
        return self.findings[str(arguments["who"])].pop(0)

    async def write(self, context: ToolContext, arguments: Mapping[str, Any]) -> Any:
        """Writes a record, and loses its connection in between when the script says so."""
        who = str(arguments["who"])
        key = RecordKey(org_id=context.org_id, collection="world", key=who)
        version = await RecordRepository(context.session).put(key, arguments)
        self.deeds[who].append(context.idempotency_key)
        if self.script[who] and self.script[who].pop(0) == "killed":
            await context.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return {"version": version}


def world_tools(world: World) -> dict[str, Tool]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"who": {"type": "string"}, "class": {"enum": [each.value for each in EffectClass]}},
        "required": ["who"],
    }
    output: dict[str, Any] = {"type": "object", "required": ["deeds"], "properties": {"deeds": {"type": "integer"}}}
    act = StepSignature(name=ACT, description="Acts.", input_schema=schema, output_schema=output)
    write = StepSignature(name=WRITE, description="Writes.", input_schema=schema, output_schema=None)
    return {
        ACT: Tool(
            signature=act, call=world.act, probe=world.probe, effect=lambda given: EffectClass(str(given["class"]))
        ),
        WRITE: Tool(signature=write, call=world.write, transactional=True),
    }

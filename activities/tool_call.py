"""One attempt of a tool step: claim it, find out about an earlier attempt where that is possible, call.

What the attempt knows of its effect stands in the step's context, for the effect journal to record when it fails.
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from activities.errors import EffectUncertain
from activities.readers.document_readers import DocumentReaders
from activities.resources import Resources
from activities.step_context import StepContext
from activities.tools.tool import Tool
from agentflow.errors import AgentflowError
from agentflow.settings import Settings


async def perform_tool(resources: Resources, context: StepContext) -> Any:
    """The tool's output; raises what it raises, and EffectInDoubt where it must not be called."""
    tool = resources.tool(context.leaf)
    offered = _ToolContext(resources, context)
    context.effect_class = tool.effect_of(context.arguments)
    if context.claiming is None:
        raise LookupError("no effect journal stands around this step")
    await context.claiming.claim()
    if context.unsettled and tool.probe is not None:
        found = await _probe(tool, offered, context)
        if found.state == "done":
            return found.output
        if found.state == "unknown":
            context.is_unknowable = True
            raise EffectUncertain(tool=context.leaf.target, reason="an earlier attempt may have done it")
        context.unsettled = False
    return await _call(tool, offered, context)


async def _probe(tool: Tool, offered: "_ToolContext", context: StepContext) -> Any:
    try:
        return await tool.probe(offered, context.arguments) if tool.probe is not None else None
    except AgentflowError as error:
        # The next attempt asks again.
        raise EffectUncertain(tool=context.leaf.target, reason=f"asking after an earlier attempt: {error}") from error


async def _call(tool: Tool, offered: "_ToolContext", context: StepContext) -> Any:
    context.unsettled = True
    try:
        return await tool.call(offered, context.arguments)
    except EffectUncertain:
        raise
    except AgentflowError:
        context.unsettled = False
        raise


class _ToolContext:
    """What a tool may use, bound to the step's organisation."""

    def __init__(self, resources: Resources, context: StepContext) -> None:
        self._resources, self._context = resources, context

    @property
    def settings(self) -> Settings:
        return self._resources.settings

    @property
    def org_id(self) -> str:
        return self._context.org_id

    @property
    def idempotency_key(self) -> str:
        return f"agentflow-{self._context.effect_key}"

    @property
    def session(self) -> AsyncSession:
        if self._context.session is None:
            raise LookupError(f"tool {self._context.leaf.target!r} has no transaction: it is not transactional")
        return self._context.session

    @property
    def readers(self) -> DocumentReaders:
        return self._resources.readers

    async def store(self, *, content: bytes, media_type: str) -> str:
        # Held by the run, because the digest is going to stand inside the tool's output.
        return await self._resources.blobs.put(
            org_id=self.org_id,
            content=content,
            media_type=media_type,
            now=self._resources.clock.now(),
            held_by=self._context.run_id,
        )

    async def load(self, digest: str) -> bytes:
        return await self._resources.blobs.get(org_id=self.org_id, digest=digest)

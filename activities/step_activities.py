"""The activities that perform steps. All that can be shared stands in the interceptors around them."""

import asyncio
from typing import Any

from temporalio import activity

from activities.catalog import FUNCTIONS, TOOLS
from activities.mcp.mcp_tool import mcp_tool
from activities.payloads import CALL_LLM, CALL_TOOL, RUN_FUNCTION, StepCall
from activities.resources import Resources
from activities.step_context import StepContext, current_step
from activities.tools.tool import Tool
from agentflow.digest import canonical_json
from agentflow.settings import Settings
from cas.provider_models import ModelResponse
from observability.telemetry.span_record import Outcome, tool_span
from runs.plan import Leaf

#: Arguments beyond this are worked on in a thread, so that heartbeats and other steps go on meanwhile.
_INLINE_BYTES = 64 * 1024


class StepActivities:
    """One method for each kind of step; each gives the raw output, which the effect journal stores."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    @activity.defn(name=CALL_LLM)
    async def call_llm(self, _call: StepCall) -> ModelResponse:
        """Asks the model that routing chose, once."""
        context = current_step()
        if context.route is None or context.request is None:
            raise LookupError("no route was chosen for this call")
        provider = self._resources.providers.get(context.route.provider)
        on_text = context.partial_text.append if context.request.stream else None
        return await provider.complete(context.request, on_text=on_text)

    @activity.defn(name=CALL_TOOL)
    async def call_tool(self, _call: StepCall) -> Any:
        """Calls a tool: one that ships with AgentFlow, or one of an MCP server."""
        context = current_step()
        started_at, failure = self._resources.clock.now(), None
        try:
            tool = tool_of(self._resources, context.leaf)
            return await tool.call(_ToolContext(self._resources, context), context.arguments)
        except BaseException as error:
            failure = error
            raise
        finally:
            is_cancelled = isinstance(failure, asyncio.CancelledError)
            outcome = Outcome(
                started_at=started_at,
                ended_at=self._resources.clock.now(),
                status="ok" if failure is None else "cancelled" if is_cancelled else "error",
                error_type=None if failure is None else getattr(failure, "code", type(failure).__name__),
            )
            context.spans.append(
                tool_span(
                    context.span_attempt, ordinal=0, name=context.leaf.target, outcome=outcome, tool_type="function"
                )
            )

    @activity.defn(name=RUN_FUNCTION)
    async def run_function(self, _call: StepCall) -> Any:
        """Computes a built-in function."""
        context = current_step()
        function = FUNCTIONS[context.leaf.target]
        if len(canonical_json(context.arguments)) <= _INLINE_BYTES:
            return function.call(context.arguments)
        return await asyncio.to_thread(function.call, context.arguments)


def tool_of(resources: Resources, leaf: Leaf) -> Tool:
    """The tool that a step calls."""
    return TOOLS[leaf.target] if leaf.contract is None else mcp_tool(resources.mcp, leaf.contract)


class _ToolContext:
    """What a tool may use, bound to the step's organisation."""

    def __init__(self, resources: Resources, context: StepContext) -> None:
        self._resources, self._org_id, self._run_id = resources, context.org_id, context.run_id

    @property
    def settings(self) -> Settings:
        return self._resources.settings

    @property
    def org_id(self) -> str:
        return self._org_id

    async def store(self, *, content: bytes, media_type: str) -> str:
        # Held by the run, because the digest is going to stand inside the tool's output.
        return await self._resources.blobs.put(
            org_id=self._org_id,
            content=content,
            media_type=media_type,
            now=self._resources.clock.now(),
            held_by=self._run_id,
        )

    async def load(self, digest: str) -> bytes:
        return await self._resources.blobs.get(org_id=self._org_id, digest=digest)

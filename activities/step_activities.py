"""The activities that perform steps. All that can be shared stands in the interceptors around them."""

import asyncio
from typing import Any

from temporalio import activity

from activities.catalog import FUNCTIONS
from activities.payloads import (
    CALL_LLM,
    CALL_TOOL,
    RUN_FUNCTION,
    StepCall,
)
from activities.resources import Resources
from activities.step_context import current_step
from activities.tool_call import perform_tool
from agentflow.large_values import beside_loop
from cas.provider_models import ModelResponse
from observability.telemetry.span_record import Outcome, tool_span


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
        """Calls a tool, once at most."""
        context = current_step()
        started_at, failure = self._resources.clock.now(), None
        try:
            return await perform_tool(self._resources, context)
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
        arguments = context.arguments
        output = await beside_loop(lambda: function.call(arguments), on=arguments, owner=context.org_id)
        if function.of_level is None or not context.call.item_refs:
            return output
        digests = context.call.item_refs
        below = [await self._resources.json_value(org_id=context.org_id, digest=digest) for digest in digests]
        return function.of_level(output, below)

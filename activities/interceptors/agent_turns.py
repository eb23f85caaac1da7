"""Around the steps of agents: a turn sees the conversation so far, and a call that fails may be the model's matter.

Whatever tools gave passes the node's policy before the model reads it, as do the words in which a server describes its
tools. The arguments of a call are the model's: they are resolved here, and restored, validated and used further in.
"""

from collections.abc import Sequence
from typing import Any

from activities.agent_conversation import (
    Conversation,
    call_arguments,
    read_conversation,
    turn_facts,
    turn_output,
)
from activities.attempt_tally import current_tally
from activities.errors import EffectUncertain, StepError
from activities.interceptors.step_interceptor import Proceed, StepInterceptor
from activities.model_answers import answer_of, require_whole
from activities.paged_output import PagedOutput
from activities.payloads import AgentStep
from activities.resources import Resources
from activities.step_context import StepContext, accepted
from activities.step_retries import as_failure
from agentflow.errors import AgentflowError, BlobNotFound
from cas.provider_models import ChatMessage, ToolSpec
from runs.agent_plan import AgentPlan
from runs.errors import RecordConflict
from scl.errors import SchemaViolation
from scl.models import ContextPolicy
from scl.service import protect_value

#: What a model can do something about: other arguments, another tool, or an answer without it.
_TELLABLE = (StepError, SchemaViolation, RecordConflict, BlobNotFound)


class AgentTurnsInterceptor(StepInterceptor):
    """Makes turns and calls of steps that a model and a tool can perform."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def around(self, context: StepContext, proceed: Proceed) -> Any:
        """The step's output; of an agent's turn and calls in the form that the next turn reads."""
        step, agent = context.call.agent, context.node.agent
        if step is None or agent is None:
            return await proceed()
        if step.tool is None:
            return await self._turn(context, step, agent, proceed)
        return await self._call(context, agent, proceed)

    async def _turn(self, context: StepContext, step: AgentStep, agent: AgentPlan, proceed: Proceed) -> dict[str, Any]:
        before = await read_conversation(
            self._resources,
            org_id=context.org_id,
            digest=step.conversation,
            results=step.results,
            agent=agent,
        )
        context.conversation = await self._protected(context, before)
        context.tools = await self._described(context, agent)
        context.tool_choice = "none" if step.is_last else "auto"
        context.parallel_tool_calls = agent.parallel_tools
        response = await proceed()
        if response.tool_calls:
            # What a refused or cut turn asks for may be half of what it meant.
            require_whole(response, node_id=context.call.node_id)
        spent = context.input_tokens + context.output_tokens, int(context.cost_micro_usd)
        turn = (context.call.part or "").replace(":", "_")
        output = turn_output(response, agent=agent, turn=turn, before=before, spent=spent, is_last=step.is_last)
        if not output["calls"]:
            schema = context.leaf.output_schema
            output["answer"] = await answer_of(
                response,
                schema,
                node_id=context.call.node_id,
                where=context.where,
                owner=context.org_id,
                accept=accepted(context),
            )
        context.own_facts = turn_facts(output)
        return output

    async def _call(self, context: StepContext, agent: AgentPlan, proceed: Proceed) -> dict[str, Any]:
        context.given_arguments = await call_arguments(self._resources, context.call)
        context.own_facts = {}
        try:
            return {"value": await self._called(context, proceed)}
        except EffectUncertain:
            # What follows is a matter of the effect's class, and may be a person's.
            raise
        except _TELLABLE as error:
            if agent.on_tool_error == "fail" or self._is_tried_again(context, error):
                raise
            context.own_facts = {"error": error.code}
            # A tool of a server has words of its own, which no message of ours quotes.
            return {"error": {"code": error.code, "message": getattr(error, "text", None) or str(error)}}

    async def _called(self, context: StepContext, proceed: Proceed) -> Any:
        if context.session is None:
            output = await proceed()
        else:
            # What a failed tool has written is taken back, and that it failed is recorded.
            async with context.session.begin_nested():
                output = await proceed()
        if not isinstance(output, PagedOutput):
            return output
        first = output.paged.pages[:1]
        items = [await self._resources.json_value(org_id=context.org_id, digest=page) for page in first]
        return {"count": output.paged.count, "first_items": items[0] if items else []}

    @staticmethod
    def _is_tried_again(context: StepContext, error: AgentflowError) -> bool:
        return not as_failure(error, context.retry, attempt=current_tally().number).non_retryable

    async def _protected(self, context: StepContext, before: Conversation) -> tuple[ChatMessage, ...]:
        """The conversation as policy lets it go on; what is found counts in the turn that reads it first."""
        messages: list[ChatMessage] = []
        for place, turn in enumerate(before.turns):
            results = await self._protect_results(context, turn.results, is_new=place == len(before.turns) - 1)
            messages.extend(turn.messages(results))
        return tuple(messages)

    async def _protect_results(self, context: StepContext, results: Sequence[Any], *, is_new: bool) -> list[Any]:
        policy = context.leaf.policy
        protected, storing = await protect_value(
            self._resources.vault,
            org_id=context.org_id,
            value=list(results),
            policy=ContextPolicy(
                pii=policy.pii, injection=policy.injection, injection_threshold=policy.injection_threshold
            ),
            where=f"tool results of {context.where!r}",
            now=self._resources.clock.now(),
        )
        context.opening.extend(storing)
        if is_new:
            context.note_protected(protected)
        value: Any = protected.value
        return list(value)

    async def _described(self, context: StepContext, agent: AgentPlan) -> tuple[ToolSpec, ...]:
        """The tools for the model. A server's descriptions are a stranger's words, and scored like all of those."""
        policy = context.leaf.policy
        for tool in agent.tools:
            if tool.contract is None:
                continue
            protected, _ = await protect_value(
                self._resources.vault,
                org_id=context.org_id,
                value={"description": tool.description, "parameters": tool.parameters},
                # Examples in them are nobody's data.
                policy=ContextPolicy(
                    pii="allow", injection=policy.injection, injection_threshold=policy.injection_threshold
                ),
                where=f"the description of tool {tool.name!r}",
                now=self._resources.clock.now(),
            )
            context.injection_score = max(protected.injection.score, context.injection_score or 0.0)
        return tuple(
            ToolSpec(name=tool.call_name, description=tool.description, parameters=tool.parameters)
            for tool in agent.tools
        )

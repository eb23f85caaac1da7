"""What an attempt of a step is remembered by: what went out, and what came back, whatever became of it."""

from typing import Any

from activities.step_context import NOTHING, Ending, StepContext
from agentflow.clock import Clock
from agentflow.digest import Json, keyed_digest
from agentflow.flat_values import flat_dict
from agentflow.statements import Statement
from cas.provider_models import ChatMessage, ModelResponse
from runs.exchange_repository import StepExchange, exchange_statement


def exchange_statements(context: StepContext, ending: Ending, clock: Clock) -> list[Statement]:
    """Keeps the attempt; nothing for one that sent nothing out and failed for no reason of its own."""
    content = _content(context, ending)
    if not content and ending.status == "ok":
        return []
    exchange = StepExchange(
        org_id=context.org_id,
        exchange_id=keyed_digest(context.effect_key, context.temporal_run_id, context.attempt)[:40],
        effect_key=context.effect_key,
        run_id=context.run_id,
        attempt=context.attempt,
        status=ending.status,
        error_code=ending.error_code,
        error_message=ending.message,
        began_at=context.started_at,
        ended_at=clock.now(),
        content=content,
    )
    return [exchange_statement(exchange)]


def _content(context: StepContext, ending: Ending) -> dict[str, Any]:
    has_failed = ending.status != "ok"
    content: dict[str, Any] = {}
    agent = context.call.agent
    # An agent's turn that ended well is kept by what it gave; messages of a later one are those of the turns before.
    if context.messages and (has_failed or agent is None or agent.conversation is None):
        content["messages"] = [_message(message) for message in context.messages]
    if context.messages and (has_failed or agent is None):
        content["answers"] = [_answer(response) for response in context.answers]
        if context.partial_answers:
            content["partial_answers"] = context.partial_answers
    # What a function or code made is kept by its output. What was restored is personal data, which its tool knows.
    is_told = has_failed or context.leaf.kind == "tool"
    if is_told and context.arguments and not context.messages and not context.leaf.policy.restore:
        content["arguments"] = context.arguments
    if has_failed and context.raw_output is not NOTHING:
        content["output"] = context.raw_output
    return content


def _message(message: ChatMessage) -> dict[str, Json]:
    calls: list[Json] = [flat_dict(call) for call in message.tool_calls]
    return {"role": message.role, "text": message.text, **({"tool_calls": calls} if calls else {})}


def _answer(response: ModelResponse) -> dict[str, Json]:
    calls: list[Json] = [flat_dict(call) for call in response.tool_calls]
    return {
        "model": response.model,
        "text": response.text,
        "finish_reason": response.finish_reason,
        **({"tool_calls": calls} if calls else {}),
        "usage": flat_dict(response.usage),
        "usage_is_estimated": response.usage_is_estimated,
    }

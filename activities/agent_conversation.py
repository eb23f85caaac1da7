"""An agent's conversation: every turn keeps references to those before it, and a turn reads all of them again.

A turn gives its words, the calls that it asks for, and the digests of the turns before it with those of what their
calls gave. So whoever has the digest of the last turn has the whole conversation, and none of it is in history.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from activities.mcp.result_content import is_step_output, shown_result
from activities.mcp.tool_names import is_mcp_tool
from activities.payloads import StepCall
from activities.resources import Resources
from agentflow.digest import canonical_json
from cas.provider_models import ChatMessage, ModelResponse, ToolCall
from runs.agent_plan import AgentPlan

#: Stands before the code of what is wrong, where else the digest of a call's output would be.
ERROR_PREFIX = "error:"
UNKNOWN_TOOL = "agent.unknown_tool"
UNREADABLE_ARGUMENTS = "agent.unreadable_arguments"
TOO_MANY_CALLS = "agent.too_many_calls"
#: Of one turn; what a model asks for beyond that is told to it as an error.
MAX_CALLS_OF_A_TURN = 32
#: Of what one call gave: the model is told that there is more, and how much.
MAX_RESULT_CHARACTERS = 60_000

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTurn:
    """A turn that has been, with what its calls came to as the model is to read it."""

    text: str
    calls: tuple[ToolCall, ...]
    #: As values: policy looks at what is inside of them, which is hard to see in JSON text.
    results: tuple[Any, ...]

    def messages(self, results: Sequence[Any]) -> list[ChatMessage]:
        """The turn as messages, with `results` in the place of its own."""
        answers = [
            ChatMessage(role="tool", text=_as_text(value), tool_call_id=call.call_id)
            for call, value in zip(self.calls, results, strict=True)
        ]
        return [ChatMessage(role="assistant", text=self.text, tool_calls=self.calls), *answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What has been said before a turn."""

    turns: tuple[PastTurn, ...] = ()
    #: The same by reference, as the turn to come keeps it.
    references: tuple[dict[str, Any], ...] = ()
    tokens: int = 0
    micro_usd: int = 0


async def read_conversation(
    resources: Resources, *, org_id: str, digest: str | None, results: Sequence[str], agent: AgentPlan
) -> Conversation:
    """The conversation up to the turn whose output has `digest`, whose calls came to `results`."""
    if digest is None:
        return Conversation()
    last = await resources.json_value(org_id=org_id, digest=digest)
    references = [*last["conversation"], {"turn": digest, "results": list(results)}]
    turns = [await _past_turn(resources, org_id, reference, agent) for reference in references]
    return Conversation(
        turns=tuple(turns),
        references=tuple(references),
        tokens=last["spent"]["tokens"],
        micro_usd=last["spent"]["micro_usd"],
    )


async def _past_turn(resources: Resources, org_id: str, reference: Mapping[str, Any], agent: AgentPlan) -> PastTurn:
    turn = await resources.json_value(org_id=org_id, digest=reference["turn"])
    values: list[Any] = []
    for call, result in zip(turn["calls"], reference["results"], strict=True):
        code = call["problem"] or (result.removeprefix(ERROR_PREFIX) if result.startswith(ERROR_PREFIX) else None)
        if code is not None:
            values.append({"error": {"code": code, "message": _explanation(code, agent)}})
            continue
        output = await resources.json_value(org_id=org_id, digest=result)
        if "error" in output:
            values.append(output)
        else:
            # A person who says what a call in doubt has given may have another form for it.
            has_form = is_mcp_tool(call["tool"]) and is_step_output(output["value"])
            values.append(shown_result(output["value"]) if has_form else output["value"])
    calls = tuple(
        ToolCall(call_id=call["call_id"], name=call["name"], arguments=call["arguments"]) for call in turn["calls"]
    )
    return PastTurn(text=turn["text"], calls=calls, results=tuple(values))


async def call_arguments(resources: Resources, call: StepCall) -> dict[str, Any]:
    """The arguments that the model wrote for a call, before policy."""
    if call.agent is None or call.agent.conversation is None:
        raise LookupError("the step is no call of an agent")
    turn = await resources.json_value(org_id=call.run.org_id, digest=call.agent.conversation)
    return parsed_arguments(turn["calls"][call.agent.call_index]["arguments"]) or {}


def turn_output(
    response: ModelResponse, *, agent: AgentPlan, turn: str, before: Conversation, spent: tuple[int, int], is_last: bool
) -> dict[str, Any]:
    """What a turn gives; calls get ids of ours, so that the same conversation is always the same text.

    `spent` are tokens and micro-USD of this turn. What the last turn asks for is not heard.
    """
    asked = () if is_last else response.tool_calls
    return {
        "conversation": list(before.references),
        "text": response.text,
        "calls": [_call(call, agent, call_id=f"{turn}_{place}", place=place) for place, call in enumerate(asked)],
        "finish_reason": response.finish_reason,
        "spent": {"tokens": before.tokens + spent[0], "micro_usd": before.micro_usd + spent[1]},
    }


def turn_facts(output: Mapping[str, Any]) -> dict[str, Any]:
    """What the loop is told of a turn: the tools to call, null for what cannot be, and what has been spent so far."""
    tools = [None if call["problem"] else call["tool"] for call in output["calls"]]
    return {"tools": tools, **output["spent"]}


def parsed_arguments(text: str) -> dict[str, Any] | None:
    """A call's arguments; None when they are no JSON object."""
    try:
        arguments = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _call(call: ToolCall, agent: AgentPlan, *, call_id: str, place: int) -> dict[str, Any]:
    tool = next((tool.name for tool in agent.tools if tool.call_name == call.name), None)
    problem = None
    if place >= MAX_CALLS_OF_A_TURN:
        problem = TOO_MANY_CALLS
    elif tool is None:
        problem = UNKNOWN_TOOL
    elif parsed_arguments(call.arguments) is None:
        problem = UNREADABLE_ARGUMENTS
    # A name that no tool has may be one that vendors would refuse to hear again.
    name = _NOT_IN_NAMES.sub("_", call.name)[:64] or "unnamed"
    return {"call_id": call_id, "name": name, "tool": tool, "arguments": call.arguments, "problem": problem}


def _explanation(code: str, agent: AgentPlan) -> str:
    """What a model can do about a call that came to nothing."""
    if code == UNKNOWN_TOOL:
        return f"there is no such tool; the tools are: {', '.join(tool.call_name for tool in agent.tools)}"
    if code == UNREADABLE_ARGUMENTS:
        return "the arguments are not a JSON object; write one that fits the tool's schema"
    if code == TOO_MANY_CALLS:
        return "no more tools can be called; go on with what you have"
    return "the tool did not give a result"


def _as_text(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode("utf-8", errors="replace")
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text
    return f"{text[:MAX_RESULT_CHARACTERS]}\n[cut off: {MAX_RESULT_CHARACTERS:,} of {len(text):,} characters]"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

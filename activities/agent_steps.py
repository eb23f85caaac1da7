"""What a step of an agent does: a turn asks the model, a call calls one of the agent's tools."""

from dataclasses import replace
from typing import Any

from activities.payloads import StepCall
from runs.plan import Leaf, PlanNode


def leaf_of_step(node: PlanNode, call: StepCall) -> Leaf:
    """What a step does, whatever kind of node it is of."""
    if node.agent is None or call.agent is None:
        return node.leaf_of(call.part)
    if call.agent.tool is None:
        return replace(node.leaf, kind="llm")
    tool = node.agent.tool(call.agent.tool)
    return Leaf(kind="tool", target=tool.name, arguments={}, policy=node.leaf.policy, contract=tool.contract)


def as_call_output(call: StepCall, output: Any) -> Any:
    """What a tool gave, as the step keeps it: an agent's call keeps it beside what an error would be."""
    return {"value": output} if is_agent_call(call) else output


def is_agent_call(call: StepCall) -> bool:
    """Whether a step calls a tool for an agent's model."""
    return call.agent is not None and call.agent.tool is not None

"""From the configuration of an agent to its plan: each tool that it lists is found, and gets a name for the model."""

import re
from typing import Any

from runs.agent_plan import AgentPlan, AgentTool
from runs.signatures import Catalog, StepSignature
from workflows.agent_config import AgentConfig
from workflows.dag_document import Document, PathSteps
from workflows.dag_graph import did_you_mean
from workflows.errors import SpecProblem

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
#: What vendors allow.
_LONGEST_NAME = 64


def compile_agent(
    config: AgentConfig, catalog: Catalog, document: Document, path: PathSteps, problems: list[SpecProblem]
) -> AgentPlan:
    """The plan of the agent whose configuration stands at `path`; problems gather in the list."""
    tools: list[AgentTool] = []
    taken: set[str] = set()
    for place, name in enumerate(config.tools):
        signature = catalog.tools.get(name)
        if signature is None:
            hint = did_you_mean(name, catalog.tools, problems)
            reason = catalog.tool_problems.get(name) or f"there is no tool {name!r}{hint}"
            problems.append(document.problem("unknown_tool", (*path, "tools", place), reason))
            continue
        call_name = _call_name(name, taken)
        taken.add(call_name)
        tools.append(
            AgentTool(
                name=name,
                call_name=call_name,
                description=signature.description,
                parameters=_parameters(signature),
                contract=catalog.contracts.get(name),
            )
        )
    return AgentPlan(
        tools=tuple(tools),
        max_iterations=config.max_iterations,
        max_tool_calls=config.max_tool_calls,
        token_budget=config.token_budget,
        budget_micro_usd=config.budget_micro_usd,
        parallel_tools=config.parallel_tools,
        on_exhausted=config.on_exhausted,
        on_tool_error=config.on_tool_error,
    )


def _call_name(name: str, taken: set[str]) -> str:
    """A name of the letters that vendors allow, which no other tool of the agent has."""
    plain = _NOT_IN_NAMES.sub("_", name.removeprefix("mcp:"))[:_LONGEST_NAME]
    found, number = plain, 1
    while found in taken:
        number += 1
        found = f"{plain[: _LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return found


def _parameters(signature: StepSignature) -> dict[str, Any]:
    schema = dict(signature.input_schema or {})
    return schema if schema.get("type") == "object" else {"type": "object", **schema}

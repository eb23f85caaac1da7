"""The compiled form of an agent: what its model may ask for, and where its loop ends."""

from dataclasses import dataclass
from typing import Any, Literal

from runs.tool_contract import ToolContract

#: Opens the parts of an agent: `turn:0`, and the calls that it asked for, `call:0.0`, `call:0.1`.
TURN_PREFIX = "turn:"
CALL_PREFIX = "call:"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTool:
    """A tool that an agent's model may ask for."""

    #: The name in documents.
    name: str
    #: The name that the model calls it by: letters, digits, `_` and `-`, which is all that vendors allow.
    call_name: str
    description: str
    #: JSON Schema of the arguments; an object.
    parameters: dict[str, Any]
    #: Of a tool that is not part of the platform.
    contract: ToolContract | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """What an agent may do, and how far."""

    tools: tuple[AgentTool, ...]
    #: Turns of the model.
    max_iterations: int = 8
    max_tool_calls: int = 32
    #: Input and output of all turns; None is no limit but that of the turns.
    token_budget: int | None = None
    budget_micro_usd: int | None = None
    #: Whether the calls of a turn are made at once.
    parallel_tools: bool = True
    #: At a limit: fail, or ask for an answer in one more turn without tools.
    on_exhausted: Literal["fail", "continue"] = "fail"
    #: Whether a tool's failure is the model's to deal with, or the node's end.
    on_tool_error: Literal["tell", "fail"] = "tell"

    def tool(self, name: str) -> AgentTool:
        """The tool of that name in documents; raises LookupError."""
        for tool in self.tools:
            if tool.name == name:
                return tool
        raise LookupError(f"the agent has no tool {name!r}")

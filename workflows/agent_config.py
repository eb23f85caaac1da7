"""What may stand in the configuration of an agent."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workflows.node_configs import LlmConfig

ToolName = Annotated[str, Field(min_length=1, max_length=256)]


class AgentConfig(LlmConfig):
    """A model with tools, asked again and again until it answers without asking for one.

    `prompt_ref`, `inputs`, `output_schema`, `model` and the rest are as in an llm node; `max_tokens` is of each turn.
    """

    tools: list[ToolName] = Field(default_factory=list, max_length=64)
    max_iterations: int = Field(default=8, ge=1, le=50)
    max_tool_calls: int = Field(default=32, ge=0, le=400)
    token_budget: int | None = Field(default=None, ge=1)
    budget_micro_usd: int | None = Field(default=None, ge=1)
    parallel_tools: bool = True
    on_exhausted: Literal["fail", "continue"] = "fail"
    on_tool_error: Literal["tell", "fail"] = "tell"

    @model_validator(mode="after")
    def _names_each_tool_once(self) -> Self:
        twice = sorted({name for name in self.tools if self.tools.count(name) > 1})
        if twice:
            raise ValueError(f"`tools` names {twice[0]!r} more than once")
        return self

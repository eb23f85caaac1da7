"""What a tool, a function or a prompt takes and gives, for the compiler to check documents against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runs.plan import Plan
from runs.tool_contract import ToolContract


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSignature:
    """The contract of something that a node can name."""

    name: str
    description: str
    #: JSON Schema of the arguments, an object; None when anything goes.
    input_schema: Mapping[str, Any] | None
    #: JSON Schema of the output; None when it is not known.
    output_schema: Mapping[str, Any] | None
    #: Arguments that it fails without, besides those that the schema requires.
    needs: frozenset[str] = frozenset()
    #: All arguments that it looks at; None when that is not known.
    takes: frozenset[str] | None = None
    #: Functions: what it gives can be among what it takes, on the level above of a reduction in the form of a tree.
    is_reducer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything that a document may name."""

    tools: Mapping[str, StepSignature]
    functions: Mapping[str, StepSignature]
    #: By reference as written (`name@3`).
    prompts: Mapping[str, StepSignature] = field(default_factory=dict)
    #: Reference → why it cannot be used.
    prompt_problems: Mapping[str, str] = field(default_factory=dict)
    #: Tools of servers that are not part of the platform, and why others cannot be used.
    contracts: Mapping[str, ToolContract] = field(default_factory=dict)
    tool_problems: Mapping[str, str] = field(default_factory=dict)
    #: Registered workflows by name and version, None for the latest, and why others cannot be used.
    workflows: Mapping[tuple[str, int | None], Plan] = field(default_factory=dict)
    workflow_problems: Mapping[tuple[str, int | None], str] = field(default_factory=dict)
    #: False where it is not known which workflows are registered: any may be.
    lists_workflows: bool = True
    #: `provider/model` → the qualities that it is offered for; None when it is not known which models there are.
    models: Mapping[str, frozenset[str]] | None = None
    #: The names of the organisation's API keys; None when they are not known.
    approvers: frozenset[str] | None = None

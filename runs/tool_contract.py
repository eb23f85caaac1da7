"""What a plan knows of a tool that may change or go after the plan was made."""

from dataclasses import dataclass
from typing import Any

from runs.effects import EffectClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContract:
    """A tool as it was when the document was compiled."""

    name: str
    description: str
    #: JSON Schema of the arguments; None when anything goes.
    input_schema: dict[str, Any] | None = None
    #: JSON Schema of the output; None when it is not known.
    output_schema: dict[str, Any] | None = None
    #: What the tool itself says of its effect, or the most careful reading where it says nothing.
    effect: EffectClass = EffectClass.AT_MOST_ONCE

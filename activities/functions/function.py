"""What a function is: a contract that the compiler checks documents against, and a pure call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runs.signatures import StepSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that ships with AgentFlow. Its arguments have passed the signature's schema when it is called.

    It must be pure: the same arguments give the same output, because it may run again after a crash.
    """

    signature: StepSignature
    call: Callable[[Mapping[str, Any]], Any]
    #: Reductions in the form of a tree: what an output counts as among the items of the level above.
    as_item: Callable[[Any], Any] | None = None
    #: What the output of a level is, beside the outputs of the level below that it was made of.
    of_level: Callable[[Any, list[Any]], Any] | None = None

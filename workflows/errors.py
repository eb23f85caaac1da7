"""What is wrong with a document, all of it at once.

WorkflowError
├── SpecUnreadable   not YAML, not JSON, or past the limits: nothing more can be said of it
├── SpecInvalid      every problem of a document, each with line, JSON path and what to do
├── InputsInvalid    run inputs that the workflow's schema refuses
├── WorkTooCostly    what was sent takes more time or memory to look at than it may
└── ServerOccupied   the organisation has as much under way as it may, and more waits
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.errors import AgentflowError

#: Codes of what is told when a document is registered or checked. What was registered before keeps running: it has a
#: plan in spite of these.
REGISTRATION_RULES = frozenset(
    {
        "constant_fails",
        "invalid_default",
        "looks_like_text",
        "missing_variable",
        "never_a_condition",
        "unfit_value",
        "unknown_approver",
        "unknown_model",
        "unknown_variable",
        "unusable_fan_in",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecProblem:
    """One thing to mend in a document."""

    #: Stable: `unknown_node`, `cycle`, `wrong_type`, …
    code: str
    message: str
    #: JSON path, such as `$.nodes[2].config.prompt_ref`.
    path: str
    #: From 1; None when the document has no text (it came as JSON data).
    line: int | None = None
    column: int | None = None

    @property
    def breaks_the_plan(self) -> bool:
        """Whether there is no plan because of it."""
        return self.code not in REGISTRATION_RULES

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line is not None else ""
        return f"{place}{self.path}: {self.message}"


class WorkflowError(AgentflowError):
    """A workflow cannot be made of this."""

    code = "workflow.error"


class SpecUnreadable(WorkflowError):
    """The document cannot be parsed at all."""

    code = "spec.unreadable"

    def __init__(self, reason: str, *, line: int | None = None, column: int | None = None) -> None:
        self.reason, self.line, self.column = reason, line, column
        place = f"line {line}, column {column}: " if line is not None else ""
        super().__init__(f"the workflow document cannot be read: {place}{reason}")


class SpecInvalid(WorkflowError):
    """The document is readable and wrong; `problems` has everything that is wrong with it."""

    code = "spec.invalid"

    def __init__(self, problems: Sequence[SpecProblem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        listing = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the workflow document has {count}:\n{listing}")


class InputsInvalid(WorkflowError):
    """The inputs of a run do not fit the workflow's input schema."""

    code = "run.inputs_invalid"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("the inputs do not fit the workflow: " + "; ".join(self.problems))


class WorkTooCostly(WorkflowError):
    """Looking at what was sent took more CPU time or memory than it may."""

    code = "work.too_costly"

    def __init__(self, *, cpu_seconds: float) -> None:
        self.cpu_seconds = cpu_seconds
        super().__init__(
            f"looking at what was sent takes more than {cpu_seconds:g} s of CPU time, or too much memory; "
            "make it smaller, or split it"
        )


class ServerOccupied(WorkflowError):
    """The server works on as much of the organisation's as it may, and enough waits already."""

    code = "work.server_occupied"

    def __init__(self) -> None:
        self.retry_after_seconds = 5.0
        super().__init__("the server is busy with what your organisation sent before; try again in a few seconds")

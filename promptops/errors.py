"""What PromptOps refuses, one class for each thing that a caller handles differently.

PromptError
├── InvalidPromptName         a name that no prompt can have
├── InvalidPromptReference    a reference that cannot be read
├── PromptNotFound            no such prompt, version or label in this organisation
├── PromptNotDeployed         the reference needs a deployment and there is none
├── PromptFileInvalid         a prompt file that cannot be read
├── TemplateInvalid           a template that breaks the rules, with the line
├── InputSchemaInvalid        an input schema that cannot be used, with the path
├── PromptInputInvalid        inputs that the prompt does not accept, all problems at once
├── RenderFailed              a template that fails on these inputs
├── RenderLimitExceeded       a rendering that went past a limit
├── DeploymentInvalid         a deployment that makes no sense
└── DeploymentConflict        somebody else changed the deployment first
"""

from collections.abc import Sequence

from agentflow.errors import AgentflowError
from promptops.models import InputProblem

#: So many problems are spelt out in a message; the attribute holds them all.
_PROBLEMS_IN_MESSAGE = 10


class PromptError(AgentflowError):
    """Anything that PromptOps refuses or fails at."""

    code = "prompt.error"


class InvalidPromptName(PromptError):
    """The name cannot be a prompt's."""

    code = "prompt.name_invalid"

    def __init__(self, *, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name[:150]!r} cannot name a prompt: start with a letter, go on with letters, digits, "
            "'_', '-' or '.', at most 128 in all"
        )


class InvalidPromptReference(PromptError):
    """The reference is neither `name`, `name@3` nor `name@stable`."""

    code = "prompt.reference_invalid"

    def __init__(self, *, reference: str, reason: str) -> None:
        self.reference, self.reason = reference, reason
        super().__init__(
            f"{reference[:300]!r} is not a prompt reference: {reason}; write name@3 for a version, "
            "or name@stable for the deployment"
        )


class PromptNotFound(PromptError):
    """This organisation has no such prompt, version or label."""

    code = "prompt.not_found"

    def __init__(self, *, name: str, version: int | None = None, label: str | None = None) -> None:
        self.name, self.version, self.label = name, version, label
        if label is not None:
            message = f"prompt {name!r} has no label {label!r}; the one label is 'stable', or pin a version as {name}@1"
        elif version is not None:
            message = f"prompt {name!r} has no version {version}"
        else:
            message = f"there is no prompt {name!r}; create a version of it first"
        super().__init__(message)


class PromptNotDeployed(PromptError):
    """The reference means the deployment, and the prompt has none."""

    code = "prompt.not_deployed"

    def __init__(self, *, name: str) -> None:
        self.name = name
        super().__init__(f"prompt {name!r} has no deployment; deploy a version of it, or pin one as {name}@1")


class PromptFileInvalid(PromptError):
    """The file does not describe a prompt."""

    code = "prompt.file_invalid"

    def __init__(self, *, line: int | None, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"the prompt file is not valid{_at_line(line)}: {reason}")


class TemplateInvalid(PromptError):
    """The template breaks a rule; nothing was stored or rendered."""

    code = "prompt.template_invalid"

    def __init__(self, *, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"the template is not valid{_at_line(line)}: {reason}")


class InputSchemaInvalid(PromptError):
    """The input schema is not one that inputs can be checked against."""

    code = "prompt.schema_invalid"

    def __init__(self, *, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"the input schema is not valid at {path}: {reason}")


class PromptInputInvalid(PromptError):
    """The prompt does not accept these inputs. Neither the message nor the problems quote a value of them."""

    code = "prompt.input_invalid"

    def __init__(self, *, prompt: str, problems: Sequence[InputProblem]) -> None:
        self.prompt, self.problems = prompt, tuple(problems)
        shown = "; ".join(f"{problem.path} {problem.reason}" for problem in self.problems[:_PROBLEMS_IN_MESSAGE])
        hidden = len(self.problems) - _PROBLEMS_IN_MESSAGE
        more = f"; and {hidden} more" if hidden > 0 else ""
        super().__init__(f"prompt {prompt!r} does not accept its inputs: {shown}{more}")


class RenderFailed(PromptError):
    """The template fails on these inputs."""

    code = "prompt.render_failed"

    def __init__(self, *, prompt: str, line: int | None, reason: str) -> None:
        self.prompt, self.line, self.reason = prompt, line, reason
        super().__init__(f"prompt {prompt!r} cannot be rendered{_at_line(line)}: {reason}")


class RenderLimitExceeded(PromptError):
    """Rendering was stopped at a limit."""

    code = "prompt.render_limit_exceeded"

    def __init__(self, *, prompt: str, limit: str, maximum: float) -> None:
        self.prompt, self.limit, self.maximum = prompt, limit, maximum
        super().__init__(
            f"prompt {prompt!r} was stopped at the limit of {maximum:,} {limit}; "
            "give it smaller inputs or a simpler template"
        )


class DeploymentInvalid(PromptError):
    """The deployment contradicts itself."""

    code = "prompt.deployment_invalid"

    def __init__(self, *, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"prompt {name!r} cannot be deployed so: {reason}")


class DeploymentConflict(PromptError):
    """The deployment is not at the revision that the change was made for."""

    code = "prompt.deployment_conflict"

    def __init__(self, *, name: str, expected_revision: int) -> None:
        self.name, self.expected_revision = name, expected_revision
        super().__init__(
            f"the deployment of prompt {name!r} is not at revision {expected_revision}; "
            "read it again and decide on what it says"
        )


def _at_line(line: int | None) -> str:
    return "" if line is None else f" at line {line}"

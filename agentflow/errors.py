"""The root of the error tree, so that an edge can tell ours from everyone else's.

AgentflowError
├── ConfigurationError            settings that cannot work
├── BlobNotFound                  a reference to content that is not stored
├── BlobCorrupt                   stored content that no longer has its digest
├── ApiRequestFailed              agentflow.client: the server refused a request
├── ApiUnreachable                agentflow.client: no server answered
├── WaitTimedOut                  agentflow.client: a run did not end in time
├── runs.errors.RunsError         workflow specs, runs, steps, the effect journal
├── workflows.errors.WorkflowError  documents that do not compile
├── activities.errors.StepError   what a single step can die of
│   └── activities.sandbox.errors.CodeError  how code in the sandbox fails
├── promptops.errors.PromptError
├── scl.errors.SclError
├── cas.errors.CasError
│   └── cas.errors.ProviderError  what model vendors answer
├── observability.errors.ObservabilityError
├── api.errors.ApiError           requests that the API turns away
└── cli.embedded.errors.EmbeddedError  a stack on one machine; it never leaves the command line

Two tables translate the leaves that servers raise: `api/error_responses.py` to HTTP, `activities/retry_posture.py`
to Temporal. A test asserts that each stands in both; those of `api` and `workflows` stand in the first alone, because
no activity can raise them.
"""

from typing import ClassVar


class AgentflowError(Exception):
    """Anything that AgentFlow itself refuses or fails at."""

    #: Stable, dotted, lower case: what programs compare; the message is for people.
    code: ClassVar[str] = "agentflow.error"


class ConfigurationError(AgentflowError):
    """The settings cannot work; the message names the setting and what to set it to."""

    code = "configuration.invalid"


class BlobNotFound(AgentflowError):
    """No content with this digest is stored for this organisation."""

    code = "blob.not_found"

    def __init__(self, *, digest: str) -> None:
        self.digest = digest
        super().__init__(f"no stored content has the digest {digest!r}; it may have been deleted")


class BlobCorrupt(AgentflowError):
    """Stored content does not hash to the digest that it is stored under."""

    code = "blob.corrupt"

    def __init__(self, *, digest: str) -> None:
        self.digest = digest
        super().__init__(f"the content stored under {digest!r} has another digest; restore it from a backup")


def leaf_errors(root: type[AgentflowError] = AgentflowError) -> list[type[AgentflowError]]:
    """Every class of the tree that has no subclass, of the modules imported so far, sorted by code."""
    leaves: set[type[AgentflowError]] = set()
    pending = [root]
    while pending:
        error_class = pending.pop()
        children = error_class.__subclasses__()
        if children:
            pending.extend(children)
        else:
            leaves.add(error_class)
    return sorted(leaves, key=lambda leaf: (leaf.code, leaf.__name__))

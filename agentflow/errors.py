"""The root of the error tree, so that an edge can tell ours from everyone else's.

AgentflowError
├── ConfigurationError            settings that cannot work
├── BlobNotFound                  a reference to content that is not stored
├── BlobCorrupt                   stored content that no longer has its digest
├── BlobStoreUnavailable          the object store that content lies in does not answer
├── PayloadKeyUnknown             a payload of Temporal's was encrypted with a key that is not configured
├── PayloadCorrupt                an encrypted payload that its key does not open
├── ApiRequestFailed              agentflow.client: the server refused a request
├── ApiUnreachable                agentflow.client: no server answered
├── WaitTimedOut                  agentflow.client: a run did not end in time
├── runs.errors.RunsError         workflow specs, runs, steps, the effect journal
├── workflows.errors.WorkflowError  documents that do not compile
├── activities.errors.StepError   what a single step can die of
│   ├── activities.mcp.errors.McpError  how a tool of an MCP server fails
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


class BlobStoreUnavailable(AgentflowError):
    """The object store does not answer, or refuses; another attempt may find it again."""

    code = "blob.store_unavailable"

    def __init__(self, *, store: str, reason: str) -> None:
        self.store, self.reason = store, reason
        super().__init__(
            f"the blob store {store!r} does not give or take content ({reason}); "
            "check that it is up, and BLOB_STORE_URL with its credentials"
        )


class PayloadKeyUnknown(AgentflowError):
    """A payload was encrypted with a key that this process does not have."""

    code = "payload.key_unknown"

    def __init__(self, *, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"a payload was encrypted with the key {key_id!r}, which PAYLOAD_KEYS does not have; "
            "keep each key there for as long as Temporal keeps what it encrypted"
        )


class PayloadCorrupt(AgentflowError):
    """An encrypted payload is not what its key sealed for this namespace."""

    code = "payload.corrupt"

    def __init__(self, *, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"a payload does not open with the key {key_id!r}: it was altered, it is of another namespace, "
            "or PAYLOAD_KEYS has another key under this id"
        )


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

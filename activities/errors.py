"""What a single step can die of, beyond what the domains already name.

StepError
├── ToolFailed             a tool could not reach what it works on
├── EffectUncertain        a tool cannot know whether its effect happened
├── TimeRanOut             the last attempt that it had ran out of its time
├── WorkersLost            one worker after the other died while it worked on it
├── ToolNotInstalled       no tool of that name on this worker
├── ToolPluginInvalid      an installed tool cannot be offered
├── LocationDenied         a tool was pointed outside what it may reach
├── RequestRefused         a server refused a request, or cannot be asked so
├── ServerBusy             a server turned a request away before it worked on it
├── DocumentNotFound       there is nothing at the location
├── DocumentTooLarge       it is larger than MAX_DOCUMENT_BYTES
├── DocumentUnreadable     no text can be had from it
├── FunctionFailed         a function refuses its arguments
├── AnswerCut              a model's answer ends at its limit
├── AnswerRefused          a model, or its vendor, does not answer this
├── AnswerEmpty            a model answered nothing
├── OutputNotJson          a model was asked for JSON and gave something else
├── ItemMissing            a map item that its list does not have
├── ApprovalTooLarge       nobody could look at what is to be approved
├── ApprovalRejected       a person said no, and the node fails on that
├── GateExpired            nobody decided, or no event came, in time
├── InstantInvalid         a wait is until something that is no instant
├── EventKeyInvalid        a wait is for an event that nobody could send
├── SourceNotAList         a map goes over something else than a list
├── MapTooLarge            a map's list is longer than the map allows
├── mcp.errors.McpError    how a tool of an MCP server fails
└── sandbox.errors.CodeError  how code in the sandbox fails
"""

from agentflow.errors import AgentflowError


class StepError(AgentflowError):
    """A step cannot give its output."""

    code = "step.error"
    #: What the other side said of it, in its own words.
    said: str | None = None

    def __str__(self) -> str:
        """The message, and what the other side said."""
        return super().__str__() if self.said is None else f"{super().__str__()}; its answer: {self.said}"

    @property
    def message_without_content(self) -> str:
        """The message less what others wrote into it, which may quote documents: workflow history keeps this one."""
        return super().__str__()


class ToolFailed(StepError):
    """A tool could not reach what it works on; another attempt may."""

    code = "tool.failed"

    def __init__(self, *, tool: str, reason: str) -> None:
        self.tool, self.reason = tool, reason
        super().__init__(f"tool {tool!r} failed: {reason}")


class EffectUncertain(StepError):
    """A call went out and nobody knows what became of it; what follows is a matter of the tool's effect class."""

    code = "tool.effect_uncertain"

    def __init__(self, *, tool: str, reason: str, retry_after_seconds: float | None = None) -> None:
        self.tool, self.reason, self.retry_after_seconds = tool, reason, retry_after_seconds
        super().__init__(f"tool {tool!r} cannot know whether its effect happened: {reason}")


class TimeRanOut(StepError):
    """All attempts are used up, and the last one did not say how it ended: its time had run out."""

    code = "step.timeout"

    def __init__(self, *, attempts: int, limit_seconds: float) -> None:
        self.attempts, self.limit_seconds = attempts, limit_seconds
        super().__init__(
            f"its {attempts} {'attempt is' if attempts == 1 else 'attempts are'} used up, and the last one ran into "
            f"its time limit: raise `timeout.run`, which is {limit_seconds:g} s, or `retry.attempts`"
        )


class WorkersLost(StepError):
    """The step is likely to be what kills its workers."""

    code = "step.workers_lost"

    def __init__(self, *, workers: int) -> None:
        self.workers = workers
        super().__init__(
            f"{workers} workers died while they worked on it, so no other is given it: see what ended them, their "
            "memory for example, and run it again"
        )


class ToolNotInstalled(StepError):
    """A document was compiled where the tool is, and this worker does not have it."""

    code = "tool.not_installed"

    def __init__(self, *, tool: str) -> None:
        self.tool = tool
        super().__init__(f"this worker has no tool {tool!r}; install its package wherever API and workers run")


class ToolPluginInvalid(StepError):
    """An entry point of `agentflow.tools` gives no usable tool."""

    code = "tool.plugin_invalid"

    def __init__(self, *, entry_point: str, reason: str) -> None:
        self.entry_point, self.reason = entry_point, reason
        super().__init__(f"entry point {entry_point!r} of the group agentflow.tools: {reason}")


class RequestRefused(StepError):
    """The answer to a request is one that asking again would not change, or it cannot be asked as it stands."""

    code = "tool.request_refused"

    def __init__(self, *, tool: str, reason: str) -> None:
        self.tool, self.reason = tool, reason
        super().__init__(f"tool {tool!r}: {reason}")


class ServerBusy(StepError):
    """A server says that it did not work on a request, and when to come again."""

    code = "tool.server_busy"

    def __init__(self, *, tool: str, reason: str, retry_after_seconds: float | None = None) -> None:
        self.tool, self.reason, self.retry_after_seconds = tool, reason, retry_after_seconds
        super().__init__(f"tool {tool!r} was turned away: {reason}")


class LocationDenied(StepError):
    """A tool may reach only what the settings let it."""

    code = "tool.location_denied"

    def __init__(self, *, location: str, reason: str) -> None:
        self.location, self.reason = location, reason
        super().__init__(f"{location!r} may not be read: {reason}")


class DocumentNotFound(StepError):
    """Nothing is stored at the location."""

    code = "tool.document_not_found"

    def __init__(self, *, location: str) -> None:
        self.location = location
        super().__init__(f"there is no document at {location!r}")


class DocumentTooLarge(StepError):
    """A document is larger than the settings allow."""

    code = "tool.document_too_large"

    def __init__(
        self, *, location: str, size_bytes: int, limit_bytes: int, advice: str = "(setting MAX_DOCUMENT_BYTES)"
    ) -> None:
        self.location, self.size_bytes, self.limit_bytes = location, size_bytes, limit_bytes
        super().__init__(f"{location!r} has {size_bytes:,} bytes; {limit_bytes:,} are allowed {advice}")


class DocumentUnreadable(StepError):
    """No text can be had from a document."""

    code = "tool.document_unreadable"

    def __init__(self, *, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"no text can be read from {name!r}: {reason}")


class FunctionFailed(StepError):
    """A function cannot work with these arguments."""

    code = "function.failed"

    def __init__(self, *, function: str, reason: str) -> None:
        self.function, self.reason = function, reason
        super().__init__(f"function {function!r}: {reason}")


class AnswerCut(StepError):
    """An answer reached its limit before its end; the same question would be cut again."""

    code = "answer.cut"

    def __init__(self, *, node_id: str, output_tokens: int) -> None:
        self.node_id, self.output_tokens = node_id, output_tokens
        super().__init__(
            f"the model's answer for node {node_id!r} was cut off after {output_tokens} tokens: raise `max_tokens`, "
            "or say `accept: [cut]`"
        )


class AnswerRefused(StepError):
    """A model, or its vendor's filter, does not answer; the same question is not asked again."""

    code = "answer.refused"

    def __init__(self, *, node_id: str, model: str) -> None:
        self.node_id, self.model = node_id, model
        super().__init__(
            f"{model!r} refused to answer for node {node_id!r}: ask otherwise, or say `accept: [refused]` and look at "
            f"`{node_id}.finish_reason`"
        )


class AnswerEmpty(StepError):
    """A model's answer has no text."""

    code = "answer.empty"

    def __init__(self, *, node_id: str, finish_reason: str) -> None:
        self.node_id, self.finish_reason = node_id, finish_reason
        super().__init__(
            f"the model's answer for node {node_id!r} is empty (it ended with {finish_reason!r}): ask otherwise, or "
            "say `accept: [empty]`"
        )


class OutputNotJson(StepError):
    """The node has an output schema, and the model's answer is not JSON."""

    code = "step.output_not_json"

    def __init__(self, *, node_id: str, finish_reason: str) -> None:
        self.node_id, self.finish_reason = node_id, finish_reason
        hint = "; it was cut off: raise `max_tokens`" if finish_reason == "length" else ""
        super().__init__(f"the model's answer for node {node_id!r} is not JSON{hint}")


class ItemMissing(StepError):
    """A map item is asked for that its list does not have."""

    code = "step.item_missing"

    def __init__(self, *, node_id: str, item_index: int) -> None:
        self.node_id, self.item_index = node_id, item_index
        super().__init__(f"the list of map {node_id!r} has no item {item_index}")


class SourceNotAList(StepError):
    """A map goes over a value that is no list."""

    code = "map.not_a_list"

    def __init__(self, *, node_id: str, source: str) -> None:
        self.node_id, self.source = node_id, source
        super().__init__(f"{source!r} is not a list; map {node_id!r} needs one")


class MapTooLarge(StepError):
    """A map's list is longer than its `max_items`."""

    code = "map.too_large"

    def __init__(self, *, node_id: str, item_count: int, limit: int) -> None:
        self.node_id, self.item_count, self.limit = node_id, item_count, limit
        super().__init__(
            f"map {node_id!r} has {item_count:,} items; {limit:,} are allowed: "
            "raise its `max_items`, or split the input over runs"
        )


class ApprovalTooLarge(StepError):
    """What is to be approved is more than is shown."""

    code = "approval.too_large"

    def __init__(self, *, node_id: str, size_bytes: int, limit: int) -> None:
        self.node_id, self.size_bytes, self.limit = node_id, size_bytes, limit
        super().__init__(
            f"approval {node_id!r} shows {size_bytes:,} bytes; {limit:,} are allowed: show a summary, or where it is"
        )


class ApprovalRejected(StepError):
    """A person said no, and the node fails on that."""

    code = "approval.rejected"

    def __init__(self, *, node_id: str, decided_by: str | None) -> None:
        self.node_id, self.decided_by = node_id, decided_by
        who = f"by {decided_by!r}" if decided_by is not None else "because nobody decided in time"
        super().__init__(f"approval {node_id!r} was rejected {who}")


class GateExpired(StepError):
    """Nobody decided, or no event came, in time."""

    code = "gate.expired"

    def __init__(self, *, node_id: str, kind: str) -> None:
        self.node_id, self.kind = node_id, kind
        super().__init__(f"{kind} {node_id!r} ran out of time; raise its `timeout`, or say what is to happen then")


class EventKeyInvalid(StepError):
    """A wait is for an event by a key that no sender could name."""

    code = "wait.event_key_invalid"

    def __init__(self, *, node_id: str, reason: str) -> None:
        self.node_id, self.reason = node_id, reason
        super().__init__(f"`event` of wait {node_id!r} gives a key that {reason}")


class InstantInvalid(StepError):
    """A wait is until something that is no instant."""

    code = "wait.instant_invalid"

    def __init__(self, *, node_id: str) -> None:
        self.node_id = node_id
        super().__init__(f"`until` of wait {node_id!r} gives no instant with an offset, such as 2026-01-02T03:04:05Z")

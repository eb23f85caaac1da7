"""The one language in which callers speak to every model vendor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from agentflow.digest import Json

Role = Literal["system", "user", "assistant", "tool"]
ToolChoice = Literal["auto", "none"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]

#: Of an answer as it comes over the line, decompressed; the longest that a model can write is far below.
MAX_ANSWER_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish to have a tool called."""

    call_id: str
    name: str
    #: JSON text as the model wrote it: it may not parse, and need not fit the tool's schema.
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool that a model may ask for."""

    name: str
    description: str
    #: JSON Schema of the arguments; an object.
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of a conversation."""

    role: Role
    text: str
    #: For the role `tool`: the call that this message answers.
    tool_call_id: str | None = None
    #: For the role `assistant`: the calls that the model asked for.
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One call to one model. What a vendor has no word for (Anthropic: `seed`) is not sent to it."""

    model: str
    messages: tuple[ChatMessage, ...]
    max_output_tokens: int
    #: For the whole call, from the first byte sent to the last byte received.
    timeout_seconds: float
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    #: JSON Schema that the answer's text is to fit; an object.
    response_schema: Mapping[str, Json] | None = None
    tools: tuple[ToolSpec, ...] = ()
    #: `none` keeps the tools in view, which a conversation that has used them needs, and asks for an answer in words.
    tool_choice: ToolChoice = "auto"
    #: False asks for one tool at a time.
    parallel_tool_calls: bool = True
    stream: bool = False
    #: Sent as the `Idempotency-Key` header. No vendor here promises to honour it.
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """What a call used: `input_tokens` includes both kinds of cached ones, `output_tokens` the reasoning."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponse:
    """A whole answer."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: TokenUsage
    #: As the vendor reports it: often a dated snapshot of the model that was asked for.
    model: str
    response_id: str
    #: Only known when the answer was streamed.
    time_to_first_token_seconds: float | None
    #: The vendor reported no usage, so that `usage` is an estimate of ours.
    usage_is_estimated: bool


class ModelProvider(Protocol):
    """A vendor of models."""

    @property
    def name(self) -> str:
        """The provider's name in settings, prices and errors."""
        ...

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelResponse:
        """Asks once, without retrying.

        `on_text` gets the answer's text: piece by piece when the request streams, else once. A caller that is
        cancelled in a stream can charge for what `on_text` has received. Raises the leaves of ProviderError.
        """
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...

"""What the scripted provider can be told to do with one request, and what it does untold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agentflow.digest import Json, canonical_json, json_digest

StopReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedUsage:
    """Counts in our sense: the input includes what is cached, the output what is reasoning."""

    input_tokens: int = 10
    output_tokens: int = 5
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedToolCall:
    """A tool that the answer asks for."""

    name: str
    #: JSON text.
    arguments: str
    call_id: str = "call_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, streamed word by word when the request wants a stream."""

    text: str = ""
    tool_calls: tuple[ScriptedToolCall, ...] = ()
    stop_reason: StopReason = "stop"
    #: None leaves the usage out, which OpenAI's protocol allows.
    usage: ScriptedUsage | None = field(default_factory=ScriptedUsage)
    #: The model that is reported; None reports the one that was asked for.
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """An HTTP error with the vendor's own error body."""

    status: int
    retry_after: str | None = None
    error_code: str | None = None
    message: str = "scripted failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """No answer, until the provider is released (then the default one) or the client goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """HTTP status 200 and a body that is not the protocol's."""

    body: bytes = b'{"choices": [tru'
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The connection is cut instead of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenStream:
    """A stream of `text` that does not reach its end.

    After `words` words it ends as if all were well (`end`), is cut (`drop`), stands still (`hold`), reports an
    overload in the protocol's own words (`error`), or says what is not JSON (`garbage`).
    """

    text: str
    words: int
    ending: Literal["end", "drop", "hold", "error", "garbage"]


Behaviour: TypeAlias = Answer | Fail | Hold | Malformed | Drop | BrokenStream


def default_answer(body: Mapping[str, Json], *, schema: Json) -> Answer:
    """The same answer to the same messages: a digest of them, or the smallest value that fits the wanted schema."""
    messages = [body.get("system"), body.get("messages")]
    text = f"echo {json_digest(messages)[:16]}"
    if schema is not None:
        text = canonical_json(smallest_instance(schema)).decode()
    return Answer(
        text=text,
        usage=ScriptedUsage(input_tokens=len(canonical_json(messages)) // 4 + 1, output_tokens=len(words_of(text))),
    )


def words_of(text: str) -> list[str]:
    """The pieces of a stream: joined they are the text."""
    words = text.split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(words)] if text else []


def smallest_instance(schema: Json) -> Json:
    """A small value of a JSON Schema, for the keywords that answers' schemas use."""
    if not isinstance(schema, Mapping):
        return "text"
    for keyword in ("enum", "anyOf", "oneOf"):
        options = schema.get(keyword)
        if isinstance(options, Sequence) and not isinstance(options, str) and options:
            return options[0] if keyword == "enum" else smallest_instance(options[0])
    if "const" in schema:
        return schema["const"]
    return _smallest_of_type(schema)


def _smallest_of_type(schema: Mapping[str, Json]) -> Json:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list | tuple):
        kind = kind[0]
    properties = schema.get("properties")
    if kind == "object":
        return (
            {name: smallest_instance(part) for name, part in properties.items()}
            if isinstance(properties, Mapping)
            else {}
        )
    if kind == "array":
        return [smallest_instance(schema.get("items"))] * _lowest(schema, "minItems", 1)
    if kind in ("integer", "number"):
        return _lowest(schema, "minimum", 1)
    if kind == "string":
        return "text".ljust(_lowest(schema, "minLength", 0), "t")
    return True if kind == "boolean" else None


def _lowest(schema: Mapping[str, Json], keyword: str, default: int) -> int:
    bound = schema.get(keyword)
    return int(bound) if isinstance(bound, int | float) else default

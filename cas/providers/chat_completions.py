"""The chat-completions protocol, which OpenAI, most of its rivals' servers and litellm speak: words in, words out.

No SDK is imported here: the objects that come in are read by attribute, whatever class they have.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from agentflow.digest import Json
from cas.errors import MalformedProviderResponse
from cas.provider_models import ChatMessage, FinishReason, ModelRequest, ModelResponse, TokenUsage, ToolCall
from cas.token_count import estimate_prompt_tokens, estimate_text_tokens

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

#: A thousand times what the largest context holds.
_MOST_TOKENS = 1_000_000_000


@contextmanager
def reading_an_answer(provider: str, model: str) -> Iterator[None]:
    """Turns what goes wrong while a vendor's answer is read into MalformedProviderResponse.

    The SDKs build their objects without validation: a missing field is an AttributeError at its first use.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise MalformedProviderResponse(
            provider=provider, model=model, reason=f"{type(error).__name__} while reading it"
        ) from None  # The cause would quote the answer.


def as_object(fields: dict[str, Any]) -> SimpleNamespace:
    """A JSON object of an answer as `json.loads` is to give it: read by attribute, as the SDKs' own objects are."""
    return SimpleNamespace(**fields)


def chat_arguments(request: ModelRequest, *, output_limit_name: str) -> dict[str, Any]:
    """The body of a chat-completions request, without what is the transport's."""
    arguments: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        output_limit_name: request.max_output_tokens,
    }
    optional = {"temperature": request.temperature, "top_p": request.top_p, "seed": request.seed}
    arguments.update({name: value for name, value in optional.items() if value is not None})
    if request.stop:
        arguments["stop"] = list(request.stop)
    if request.response_schema is not None:
        arguments["response_format"] = _response_format(request.response_schema)
    if request.tools:
        arguments["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
        if request.tool_choice != "auto":
            arguments["tool_choice"] = request.tool_choice
        if not request.parallel_tool_calls:
            arguments["parallel_tool_calls"] = False
    if request.stream:
        arguments["stream"] = True
        arguments["stream_options"] = {"include_usage": True}
    return arguments


def response_of(completion: Any, request: ModelRequest, *, provider: str) -> ModelResponse:
    """A whole answer; raises MalformedProviderResponse when it is not one."""
    with reading_an_answer(provider, request.model):
        choice = completion.choices[0]
        message = choice.message
        refusal = getattr(message, "refusal", None)
        text = _text(getattr(message, "content", None)) or _text(refusal)
        calls = tuple(
            ToolCall(
                call_id=_text(getattr(call, "id", None)),
                name=str(call.function.name),
                # Servers leave them out for tools that take none.
                arguments=_text(getattr(call.function, "arguments", None)) or "{}",
            )
            for call in getattr(message, "tool_calls", None) or ()
        )
        reported = getattr(completion, "usage", None)
        if getattr(reported, "prompt_tokens", None) is None or getattr(reported, "completion_tokens", None) is None:
            reported = None
        usage = None if reported is None else readable_usage(lambda: _usage(reported))
        return ModelResponse(
            text=text,
            tool_calls=calls,
            finish_reason="content_filter" if refusal else _finish_reason(getattr(choice, "finish_reason", None)),
            usage=usage or estimated_usage(request, text, calls),
            model=str(getattr(completion, "model", None) or request.model),
            response_id=str(getattr(completion, "id", None) or ""),
            time_to_first_token_seconds=None,
            usage_is_estimated=usage is None,
        )


class ChatStream:
    """Puts the chunks of a streamed answer together."""

    def __init__(self, request: ModelRequest, *, provider: str) -> None:
        self._request, self._provider = request, provider
        self._started_at = time.perf_counter()
        self._first_token_seconds: float | None = None
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish_reason: FinishReason | None = None
        self._usage: TokenUsage | None = None
        self._model, self._response_id = request.model, ""

    def add(self, chunk: Any) -> str:
        """Takes a chunk; the text that it adds to the answer, often none."""
        with reading_an_answer(self._provider, self._request.model):
            self._model = str(getattr(chunk, "model", None) or self._model)
            self._response_id = str(getattr(chunk, "id", None) or self._response_id)
            if getattr(chunk, "usage", None) is not None:
                self._usage = readable_usage(lambda: _usage(chunk.usage))
            return "".join([self._add_choice(choice) for choice in chunk.choices[:1]])

    def _add_choice(self, choice: Any) -> str:
        refusal = _text(getattr(choice.delta, "refusal", None))
        text = _text(getattr(choice.delta, "content", None)) + refusal
        pieces = getattr(choice.delta, "tool_calls", None) or ()
        for piece in pieces:
            call = self._calls.setdefault(int(piece.index), {"id": "", "name": "", "arguments": ""})
            call["id"] = _text(piece.id) or call["id"]
            call["name"] += _text(piece.function.name)
            call["arguments"] += _text(piece.function.arguments)
        if self._first_token_seconds is None and (text or pieces):
            self._first_token_seconds = time.perf_counter() - self._started_at
        if text:
            self._texts.append(text)
        if refusal:
            self._finish_reason = "content_filter"
        elif choice.finish_reason and self._finish_reason is None:
            self._finish_reason = _finish_reason(choice.finish_reason)
        return text

    def response(self) -> ModelResponse:
        """The whole answer; raises MalformedProviderResponse when the stream ended before the answer did."""
        if self._finish_reason is None:
            raise MalformedProviderResponse(
                provider=self._provider, model=self._request.model, reason="the stream ended before the answer did"
            )
        text = "".join(self._texts)
        calls = tuple(
            ToolCall(call_id=call["id"], name=call["name"], arguments=call["arguments"] or "{}")
            for _, call in sorted(self._calls.items())
        )
        return ModelResponse(
            text=text,
            tool_calls=calls,
            finish_reason=self._finish_reason,
            usage=self._usage or estimated_usage(self._request, text, calls),
            model=self._model,
            response_id=self._response_id,
            time_to_first_token_seconds=self._first_token_seconds,
            usage_is_estimated=self._usage is None,
        )


def estimated_usage(request: ModelRequest, text: str, calls: tuple[ToolCall, ...]) -> TokenUsage:
    """What an answer without usage probably used; see cas.token_count."""
    written = text + "".join(call.name + call.arguments for call in calls)
    return TokenUsage(
        input_tokens=estimate_prompt_tokens(
            request.messages, tools=request.tools, response_schema=request.response_schema
        ),
        output_tokens=min(request.max_output_tokens, estimate_text_tokens(written)),
    )


def readable_usage(read: Callable[[], TokenUsage]) -> TokenUsage | None:
    """The usage that a vendor reports; None where it cannot be one, which is no reason to lose an answer."""
    try:
        return read()
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        return None


def token_count(value: Any) -> int:
    """A vendor's count of tokens; raises ValueError or TypeError for what no call can have."""
    if value is not None and not isinstance(value, int | float | str):
        raise TypeError("a count of tokens that is no number")
    count = int(value or 0)
    if not 0 <= count <= _MOST_TOKENS:
        raise ValueError("a count of tokens that no call can have")
    return count


def _message(message: ChatMessage) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return body


def _response_format(schema: Mapping[str, Json]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": dict(schema), "strict": _can_be_strict(schema)},
    }


def _can_be_strict(schema: Json) -> bool:
    """Whether OpenAI's strict mode takes the schema: every object is closed and requires all of its properties."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if schema.get("type") == "object" or isinstance(properties, Mapping):
            required = schema.get("required")
            names = set(properties) if isinstance(properties, Mapping) else set()
            listed = {str(name) for name in required} if isinstance(required, list | tuple) else set()
            if schema.get("additionalProperties") is not False or names != listed:
                return False
        return all(_can_be_strict(part) for part in schema.values())
    if isinstance(schema, list | tuple):
        return all(_can_be_strict(part) for part in schema)
    return True


def _usage(usage: Any) -> TokenUsage:
    prompt = getattr(usage, "prompt_tokens_details", None)
    completion = getattr(usage, "completion_tokens_details", None)
    # litellm calls the tokens written to a cache `cache_creation_tokens`.
    written = getattr(prompt, "cache_write_tokens", None) or getattr(prompt, "cache_creation_tokens", None)
    return TokenUsage(
        input_tokens=token_count(usage.prompt_tokens),
        output_tokens=token_count(usage.completion_tokens),
        cache_read_tokens=token_count(getattr(prompt, "cached_tokens", None)),
        cache_write_tokens=token_count(written),
        reasoning_tokens=token_count(getattr(completion, "reasoning_tokens", None)),
    )


def _finish_reason(reason: str | None) -> FinishReason:
    return _FINISH_REASONS.get(reason or "", "other")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("text that is not a string")
    return value

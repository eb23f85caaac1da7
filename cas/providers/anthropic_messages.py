"""Anthropic's Messages API: our requests in its words, and its answers in ours."""

import json
import time
from collections.abc import Mapping
from typing import Any

import anthropic

from agentflow.digest import Json
from cas.errors import MalformedProviderResponse, ProviderRejected
from cas.provider_models import ChatMessage, FinishReason, ModelRequest, ModelResponse, TokenUsage, ToolCall
from cas.providers.chat_completions import estimated_usage, readable_usage, reading_an_answer, token_count

NAME = "anthropic"
#: Under this name stand arguments that are no JSON object, when the conversation goes on.
UNREADABLE_ARGUMENTS = "unreadable_arguments"

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def message_arguments(request: ModelRequest) -> dict[str, Any]:
    """The arguments of `messages.create`; raises ProviderRejected for what the API has no form for."""
    arguments: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "messages": _turns(request),
        "timeout": request.timeout_seconds,
    }
    system = "\n\n".join(message.text for message in request.messages if message.role == "system")
    if system:
        arguments["system"] = system
    if request.stop:
        arguments["stop_sequences"] = list(request.stop)
    if request.idempotency_key:
        arguments["extra_headers"] = {"Idempotency-Key": request.idempotency_key}
    if request.response_schema is not None:
        arguments["output_config"] = {"format": {"type": "json_schema", "schema": _answer_schema(request)}}
    if request.tools:
        arguments["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        if request.tool_choice == "none":
            arguments["tool_choice"] = {"type": "none"}
        elif not request.parallel_tool_calls:
            arguments["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    # The SDK has no arguments for these; the API still takes them for the models that allow them.
    sampling = {"temperature": request.temperature, "top_p": request.top_p}
    given = {name: value for name, value in sampling.items() if value is not None}
    if given:
        arguments["extra_body"] = given
    return arguments


def response_of(message: Any, request: ModelRequest) -> ModelResponse:
    """A whole answer; raises MalformedProviderResponse when it is not one."""
    with reading_an_answer(NAME, request.model):
        text = "".join([block.text for block in message.content if block.type == "text"])
        calls = tuple(
            ToolCall(call_id=str(block.id), name=str(block.name), arguments=json.dumps(block.input, ensure_ascii=False))
            for block in message.content
            if block.type == "tool_use"
        )
        usage = readable_usage(lambda: _usage(message.usage))
        return ModelResponse(
            text=text,
            tool_calls=calls,
            finish_reason=_finish_reason(message.stop_reason),
            usage=usage or estimated_usage(request, text, calls),
            model=str(message.model),
            response_id=str(message.id),
            time_to_first_token_seconds=None,
            usage_is_estimated=usage is None,
        )


class MessageStream:
    """Puts the events of a streamed answer together.

    The SDK's own accumulator is not used: it repairs the JSON of a tool's arguments that was cut short.
    """

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._started_at = time.perf_counter()
        self._first_token_seconds: float | None = None
        self._model, self._response_id = request.model, ""
        self._texts: list[str] = []
        #: By the index of their block: id, name, pieces of the arguments.
        self._calls: dict[int, tuple[str, str, list[str]]] = {}
        self._usage: TokenUsage | None = None
        self._is_readable = True
        self._finish_reason: FinishReason | None = None

    def add(self, event: Any) -> str:
        """Takes an event; the text that it adds to the answer, often none."""
        with reading_an_answer(NAME, self._request.model):
            if event.type == "message_start":
                self._model, self._response_id = str(event.message.model), str(event.message.id)
                self._count(event.message.usage)
            elif event.type == "content_block_start" and event.content_block.type == "tool_use":
                self._calls[int(event.index)] = (str(event.content_block.id), str(event.content_block.name), [])
            elif event.type == "content_block_delta":
                return self._add_delta(event)
            elif event.type == "message_delta":
                self._finish_reason = _finish_reason(event.delta.stop_reason)
                self._count(event.usage)
            return ""

    def _add_delta(self, event: Any) -> str:
        if self._first_token_seconds is None:
            self._first_token_seconds = time.perf_counter() - self._started_at
        if event.delta.type == "input_json_delta":
            self._calls[event.index][2].append(event.delta.partial_json)
            return ""
        if event.delta.type != "text_delta":
            return ""
        text = str(event.delta.text)
        self._texts.append(text)
        return text

    def _count(self, usage: Any) -> None:
        """Counts are cumulative: a later one replaces an earlier one, and one that is absent leaves it."""
        counted = readable_usage(lambda: _usage(usage, earlier=self._usage))
        self._usage, self._is_readable = counted or self._usage, self._is_readable and counted is not None

    def response(self) -> ModelResponse:
        """The whole answer; raises MalformedProviderResponse when the stream ended before the answer did."""
        if self._finish_reason is None or (self._usage is None and self._is_readable):
            raise MalformedProviderResponse(
                provider=NAME, model=self._request.model, reason="the stream ended before the answer did"
            )
        text = "".join(self._texts)
        calls = tuple(
            ToolCall(call_id=call_id, name=name, arguments="".join(pieces) or "{}")
            for _, (call_id, name, pieces) in sorted(self._calls.items())
        )
        usage = self._usage if self._is_readable else None
        return ModelResponse(
            text=text,
            tool_calls=calls,
            finish_reason=self._finish_reason,
            usage=usage or estimated_usage(self._request, text, calls),
            model=self._model,
            response_id=self._response_id,
            time_to_first_token_seconds=self._first_token_seconds,
            usage_is_estimated=usage is None,
        )


def _answer_schema(request: ModelRequest) -> dict[str, Any]:
    """The schema within the subset that the API takes: what lies outside of it becomes words in the descriptions."""
    try:
        return anthropic.transform_schema(dict(request.response_schema or {}))
    except ValueError:
        raise ProviderRejected(
            provider=NAME, model=request.model, reason="the response schema has a part without a type"
        ) from None  # The cause would quote the schema.


def _turns(request: ModelRequest) -> list[dict[str, Any]]:
    """The conversation without its system messages; neighbours of one role are one turn, as the API wants results."""
    turns: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: ChatMessage) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": message.text}]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
    blocks.extend(
        {"type": "tool_use", "id": call.call_id, "name": call.name, "input": _parsed_arguments(call)}
        for call in message.tool_calls
    )
    return blocks


def _parsed_arguments(call: ToolCall) -> dict[str, Json]:
    """The arguments as the object that the API wants; what is none, as the text that the model wrote."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {UNREADABLE_ARGUMENTS: call.arguments}


def _finish_reason(reason: str | None) -> FinishReason:
    return _FINISH_REASONS.get(reason or "", "other")


def _usage(usage: Any, *, earlier: TokenUsage | None = None) -> TokenUsage:
    """Anthropic counts cached input beside the input; ours includes it."""
    known = earlier or TokenUsage(input_tokens=0, output_tokens=0)
    cache_read = _count(usage.cache_read_input_tokens, known.cache_read_tokens)
    cache_write = _count(usage.cache_creation_input_tokens, known.cache_write_tokens)
    known_fresh = known.input_tokens - known.cache_read_tokens - known.cache_write_tokens
    details = getattr(usage, "output_tokens_details", None)
    return TokenUsage(
        input_tokens=_count(usage.input_tokens, known_fresh) + cache_read + cache_write,
        output_tokens=token_count(usage.output_tokens),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        reasoning_tokens=_count(getattr(details, "thinking_tokens", None), known.reasoning_tokens),
    )


def _count(value: Any, known: int) -> int:
    return known if value is None else token_count(value)

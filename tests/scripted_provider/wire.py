"""The bodies of the two protocols: an answer, an error, and the events of a stream."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from tests.scripted_provider.behaviours import Answer, ScriptedUsage, words_of

Protocol = Literal["openai", "anthropic"]

_ANTHROPIC_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_ANTHROPIC_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def wanted_schema(protocol: Protocol, body: Mapping[str, Any]) -> Any:
    """The JSON Schema that the request wants its answer to fit, or None."""
    if protocol == "openai":
        wanted = body.get("response_format") or {}
        return wanted.get("json_schema", {}).get("schema")
    return ((body.get("output_config") or {}).get("format") or {}).get("schema")


def answer_body(protocol: Protocol, answer: Answer, *, model: str, number: int) -> dict[str, Any]:
    """A whole answer."""
    return _chat_completion(answer, model, number) if protocol == "openai" else _message(answer, model, number)


def error_body(protocol: Protocol, *, status: int, error_code: str | None, message: str) -> dict[str, Any]:
    """An error, as the vendor words it."""
    if protocol == "openai":
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": error_code}}
    kind = error_code or _ANTHROPIC_ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"}


def stream_error(protocol: Protocol) -> bytes:
    """An overload that is met in the middle of a stream."""
    if protocol == "openai":
        return _data(error_body("openai", status=500, error_code=None, message="scripted overload"))
    return _event(error_body("anthropic", status=529, error_code=None, message="scripted overload"))


def stream_events(
    protocol: Protocol, answer: Answer, *, model: str, number: int
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The events before the text, one for each word of it, and those after it."""
    if protocol == "openai":
        return _chat_chunks(answer, model, number)
    return _message_events(answer, model, number)


def _chat_completion(answer: Answer, model: str, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    body: dict[str, Any] = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": answer.model or model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.stop_reason}],
    }
    if answer.usage is not None:
        body["usage"] = _openai_usage(answer.usage)
    return body


def _openai_usage(usage: ScriptedUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _chat_chunks(answer: Answer, model: str, number: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data({**head, "choices": [choice]})

    head = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": answer.model or model,
    }
    after: list[bytes] = []
    for place, call in enumerate(answer.tool_calls):
        names = {
            "index": place,
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        after.append(chunk({"tool_calls": [names]}))
        after.extend(
            chunk({"tool_calls": [{"index": place, "function": {"arguments": piece}}]})
            for piece in _halves(call.arguments)
        )
    after.append(chunk({}, answer.stop_reason))
    if answer.usage is not None:
        after.append(_data({**head, "choices": [], "usage": _openai_usage(answer.usage)}))
    after.append(b"data: [DONE]\n\n")
    before = [chunk({"role": "assistant", "content": ""})]
    return before, [chunk({"content": word}) for word in words_of(answer.text)], after


def _message(answer: Answer, model: str, number: int) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
    content.extend(
        {"type": "tool_use", "id": call.call_id, "name": call.name, "input": json.loads(call.arguments)}
        for call in answer.tool_calls
    )
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or model,
        "content": content,
        "stop_reason": _ANTHROPIC_STOP_REASONS[answer.stop_reason],
        "stop_sequence": None,
        "usage": _anthropic_usage(answer.usage or ScriptedUsage()),
    }


def _anthropic_usage(usage: ScriptedUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _message_events(answer: Answer, model: str, number: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
    usage = _anthropic_usage(answer.usage or ScriptedUsage())
    opening = {
        **_message(answer, model, number),
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 1},
    }
    before = [_event({"type": "message_start", "message": opening}), _event({"type": "ping"})]
    after: list[bytes] = []
    words = words_of(answer.text)
    if words:
        before.append(_block_start(0, {"type": "text", "text": ""}))
        after.append(_event({"type": "content_block_stop", "index": 0}))
    for place, call in enumerate(answer.tool_calls, start=1 if words else 0):
        after.append(_block_start(place, {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}))
        after.extend(
            _block_delta(place, {"type": "input_json_delta", "partial_json": piece})
            for piece in _halves(call.arguments)
        )
        after.append(_event({"type": "content_block_stop", "index": place}))
    ending = {"stop_reason": _ANTHROPIC_STOP_REASONS[answer.stop_reason], "stop_sequence": None}
    # The input's counts stand in the first event alone, as the API may leave them out of the last.
    counts = {name: usage[name] for name in ("output_tokens", "output_tokens_details")}
    after.append(_event({"type": "message_delta", "delta": ending, "usage": counts}))
    after.append(_event({"type": "message_stop"}))
    return before, [_block_delta(0, {"type": "text_delta", "text": word}) for word in words], after


def _block_start(index: int, block: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_start", "index": index, "content_block": block})


def _block_delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event({"type": "content_block_delta", "index": index, "delta": delta})


def _halves(text: str) -> Iterator[str]:
    middle = len(text) // 2
    yield text[:middle]
    yield text[middle:]


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _event(body: dict[str, Any]) -> bytes:
    return f"event: {body['type']}\n".encode() + _data(body)

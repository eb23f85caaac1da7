"""The exact cache: the same question, asked of the same model in the same way, is answered once.

The key covers all that the answer depends on, the whole conversation included; the organisation is a hard
partition of the table besides. Truncated answers and wishes for tools are never kept.
"""

import re
from collections.abc import Mapping
from typing import Any

from agentflow.digest import Json, json_digest
from agentflow.flat_values import flat_dict
from cas.models import Route
from cas.provider_models import ChatMessage, ModelRequest, ModelResponse, TokenUsage

TTL_SECONDS = 24 * 3600.0
_FORMAT = 2
#: What PostgreSQL's JSON cannot hold: NUL, and halves of surrogate pairs.
_NOT_STORABLE = re.compile(r"[\x00\ud800-\udfff]")


def cache_key(*, route: Route, request: ModelRequest, prompt: str, policy: Mapping[str, Json]) -> str:
    """The digest of all that an answer depends on; `prompt` is the prompt's version, `policy` the step's."""
    return json_digest(
        {
            "format": _FORMAT,
            "model": route.name,
            "prompt": prompt,
            "policy": policy,
            "messages": [_as_json(message) for message in request.messages],
            "tools": [flat_dict(tool) for tool in request.tools],
            # Said only where it is asked for, so that the answers that are kept stay.
            **_tool_use(request),
            "response_schema": request.response_schema,
            "parameters": [
                request.max_output_tokens,
                request.temperature,
                request.top_p,
                request.seed,
                list(request.stop),
            ],
        }
    )


def _as_json(message: ChatMessage) -> dict[str, Json]:
    return {**flat_dict(message), "tool_calls": [flat_dict(call) for call in message.tool_calls]}


def _tool_use(request: ModelRequest) -> dict[str, Json]:
    """How the tools are to be used, where that is not the usual way."""
    if request.tool_choice == "auto" and request.parallel_tool_calls:
        return {}
    return {"tool_use": [request.tool_choice, request.parallel_tool_calls]}


def is_cacheable(response: ModelResponse) -> bool:
    """Whether an answer is whole, has no side effect to come, and can be stored."""
    is_whole = response.finish_reason == "stop" and not response.tool_calls
    return is_whole and _NOT_STORABLE.search(response.text) is None


def encode_response(response: ModelResponse) -> dict[str, Json]:
    """An answer as it is kept."""
    return {
        "text": response.text,
        "finish_reason": response.finish_reason,
        "model": response.model,
        "response_id": response.response_id,
        "usage": flat_dict(response.usage),
        "usage_is_estimated": response.usage_is_estimated,
    }


def decode_response(stored: Mapping[str, Any]) -> ModelResponse:
    """The answer that `encode_response` kept."""
    return ModelResponse(
        text=stored["text"],
        tool_calls=(),
        finish_reason=stored["finish_reason"],
        usage=TokenUsage(**stored["usage"]),
        model=stored["model"],
        response_id=stored["response_id"],
        time_to_first_token_seconds=None,
        usage_is_estimated=stored["usage_is_estimated"],
    )

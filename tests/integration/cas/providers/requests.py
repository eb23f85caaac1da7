"""The requests that these tests send."""

from collections.abc import Mapping

from agentflow.digest import Json
from cas.provider_models import ChatMessage, ModelRequest, ToolSpec

SECRET_PROMPT = "the launch code is 0451"
WEATHER = ToolSpec(
    name="weather",
    description="The weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


def asking(
    text: str = SECRET_PROMPT,
    *,
    messages: tuple[ChatMessage, ...] = (),
    stream: bool = False,
    timeout_seconds: float = 20.0,
    tools: tuple[ToolSpec, ...] = (),
    response_schema: Mapping[str, Json] | None = None,
    idempotency_key: str | None = None,
) -> ModelRequest:
    """A request of one user message, unless others are given."""
    return ModelRequest(
        model="test-model",
        messages=messages or (ChatMessage(role="user", text=text),),
        max_output_tokens=50,
        timeout_seconds=timeout_seconds,
        stream=stream,
        tools=tools,
        response_schema=response_schema,
        idempotency_key=idempotency_key,
    )

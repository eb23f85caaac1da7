"""A model's answer as a value: its text, or the JSON that was asked for."""

import json
from typing import Any

from activities.errors import OutputNotJson
from cas.provider_models import ModelResponse
from scl.schema_validation import validate_aside

_MAX_ANSWER_DEPTH = 64


async def answer_of(response: ModelResponse, schema: dict[str, Any] | None, *, node_id: str, where: str) -> Any:
    """The answer; raises OutputNotJson or SchemaViolation where it is not what `schema` asks for."""
    if schema is None:
        return response.text
    answer = _parse(response, node_id=node_id)
    await validate_aside(answer, schema, where=f"output of {where!r}")
    return answer


def _parse(response: ModelResponse, *, node_id: str) -> Any:
    try:
        return _bounded(json.loads(response.text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError):
        # Without the cause, which quotes the answer.
        raise OutputNotJson(node_id=node_id, finish_reason=response.finish_reason) from None


def _bounded(value: Any) -> Any:
    """`value`, unless it nests deeper than people mean: what is stored here must be shown again."""
    pending = [(value, 1)]
    while pending:
        part, depth = pending.pop()
        if depth > _MAX_ANSWER_DEPTH:
            raise ValueError("nested too deep")
        if isinstance(part, dict | list):
            pending.extend((item, depth + 1) for item in (part.values() if isinstance(part, dict) else part))
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

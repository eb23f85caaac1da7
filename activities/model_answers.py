"""A model's answer as a value: its text, or the JSON that was asked for; what is not whole is an outcome of its own."""

import json
import re
from collections.abc import Collection
from typing import Any

from activities.errors import AnswerCut, AnswerEmpty, AnswerRefused, OutputNotJson
from cas.provider_models import ModelResponse
from scl.schema_validation import validate_aside

_MAX_ANSWER_DEPTH = 64
#: A Markdown fence around all of an answer: servers that do not know of response formats have models that write one.
_FENCE = re.compile(r"\A\s*```[^\S\n]*(?:json|JSON)?[^\S\n]*\n(.*?)\n?[^\S\n]*```\s*\Z", re.DOTALL)


async def answer_of(
    response: ModelResponse,
    schema: dict[str, Any] | None,
    *,
    node_id: str,
    where: str,
    accept: Collection[str] = (),
) -> Any:
    """The answer, whole unless what it lacks is in `accept` (`cut`, `refused`, `empty`).

    Raises AnswerCut, AnswerRefused or AnswerEmpty, and OutputNotJson or SchemaViolation by what `schema` asks for.
    """
    if response.finish_reason == "content_filter" and "refused" not in accept:
        raise AnswerRefused(node_id=node_id, model=response.model)
    if response.finish_reason == "length" and "cut" not in accept:
        raise AnswerCut(node_id=node_id, output_tokens=response.usage.output_tokens)
    if not response.text.strip() and "empty" not in accept:
        raise AnswerEmpty(node_id=node_id, finish_reason=response.finish_reason)
    if schema is None:
        return response.text
    answer = _parse(response, node_id=node_id)
    await validate_aside(answer, schema, where=f"output of {where!r}")
    return answer


def _parse(response: ModelResponse, *, node_id: str) -> Any:
    # By its ends first: the pattern looks for them from every line feed of a long text.
    text = response.text
    fenced = _FENCE.match(text) if text.lstrip().startswith("```") and text.rstrip().endswith("```") else None
    try:
        return _bounded(json.loads(text if fenced is None else fenced[1], parse_constant=_refuse_constant))
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

"""A model's answer as a value: its text, or the JSON that was asked for; what is not whole is an outcome of its own."""

import json
from collections.abc import Collection
from typing import Any

from activities.errors import AnswerCut, AnswerEmpty, AnswerRefused, OutputNotJson
from cas.provider_models import ModelResponse
from scl.schema_validation import validate_aside

_MAX_ANSWER_DEPTH = 64
_SHORTEST_FENCE = 3


async def answer_of(
    response: ModelResponse,
    schema: dict[str, Any] | None,
    *,
    node_id: str,
    where: str,
    owner: str,
    accept: Collection[str] = (),
) -> Any:
    """The answer, whole unless what it lacks is in `accept` (`cut`, `refused`, `empty`).

    One that is accepted and not whole is its text, or null where a `schema` asks for something else. Raises AnswerCut,
    AnswerRefused or AnswerEmpty, and OutputNotJson or SchemaViolation by what `schema` asks for; it is checked in a
    turn of `owner`.
    """
    is_whole = require_whole(response, node_id=node_id, accept=accept)
    if schema is None:
        return response.text
    if not is_whole:
        # What is accepted as it is will not fit; whoever accepts it looks at `finish_reason`.
        return None
    answer = _parse(response, node_id=node_id)
    await validate_aside(answer, schema, where=f"output of {where!r}", owner=owner)
    return answer


def require_whole(response: ModelResponse, *, node_id: str, accept: Collection[str] = ()) -> bool:
    """Whether an answer is whole; raises AnswerCut, AnswerRefused or AnswerEmpty for what is not in `accept`."""
    if response.finish_reason == "content_filter":
        if "refused" not in accept:
            raise AnswerRefused(node_id=node_id, model=response.model)
        return False
    if response.finish_reason == "length":
        if "cut" not in accept:
            raise AnswerCut(node_id=node_id, output_tokens=response.usage.output_tokens)
        return False
    if response.text.strip() or response.tool_calls:
        return True
    if "empty" not in accept:
        raise AnswerEmpty(node_id=node_id, finish_reason=response.finish_reason)
    return False


def _parse(response: ModelResponse, *, node_id: str) -> Any:
    try:
        return _bounded(
            json.loads(_without_fence(response.text), parse_constant=_refuse_constant, object_pairs_hook=_object)
        )
    except (ValueError, RecursionError):
        # Without the cause, which quotes the answer.
        raise OutputNotJson(node_id=node_id, finish_reason=response.finish_reason) from None


def _without_fence(text: str) -> str:
    """`text` without a Markdown fence around all of it, which models write that know of no response format."""
    opening, separator, rest = text.strip().removeprefix("\ufeff").partition("\n")
    word = opening.lstrip("`~")
    fence = opening[: len(opening) - len(word)]
    is_fence = len(fence) >= _SHORTEST_FENCE and len(set(fence)) == 1 and word.strip().lower() in {"", "json"}
    return rest.removesuffix(fence) if separator and is_fence and rest.endswith(fence) else text.removeprefix("\ufeff")


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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

from typing import Any

import pytest

from activities.errors import AnswerCut, AnswerEmpty, AnswerRefused, OutputNotJson
from activities.model_answers import answer_of
from cas.provider_models import FinishReason, ModelResponse, TokenUsage

SCHEMA: dict[str, Any] = {"type": "object"}


def response(text: str, finish_reason: FinishReason = "stop") -> ModelResponse:
    return ModelResponse(
        text=text,
        tool_calls=(),
        finish_reason=finish_reason,
        usage=TokenUsage(input_tokens=1, output_tokens=1),
        model="m",
        response_id="r",
        time_to_first_token_seconds=None,
        usage_is_estimated=False,
    )


async def answer(given: ModelResponse, schema: dict[str, Any] | None = None, accept: tuple[str, ...] = ()) -> Any:
    return await answer_of(given, schema, node_id="ask", where="ask", owner="a", accept=accept)


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1}',
        '```json\n{"n": 1}\n```',
        ' \n```\n{"n": 1}```\n ',
        '```JSON  \n\n{"n": 1}\n\n```',
        '``` json\n{"n": 1}\n```',
    ],
)
async def test_json_is_read_with_and_without_a_fence_around_all_of_it(text: str) -> None:
    assert {"n": 1} == await answer(response(text), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        'Sure:\n```json\n{"n": 1}\n```',
        '```json\n{"n": 1}\n```\nthere',
        '```python\n{"n": 1}\n```',
        '```json {"n": 1}```',
        "```",
        "``````",
        "```json\n```",
        "```json\n{" + " " * 100_000 + "}```" * 2,
        '{"n": NaN}',
        "[" * 1_000 + "]" * 1_000,
    ],
)
async def test_what_is_no_json_is_told_without_its_text(text: str) -> None:
    with pytest.raises(OutputNotJson) as failure:
        await answer(response(text), SCHEMA)

    assert text[:20] not in str(failure.value)


async def test_a_text_without_schema_is_its_own_answer_fence_and_all() -> None:
    assert "```\nx\n```" == await answer(response("```\nx\n```"))


@pytest.mark.parametrize(
    ("finish_reason", "text", "word", "error"),
    [
        ("length", "and the", "cut", AnswerCut),
        ("content_filter", "", "refused", AnswerRefused),
        ("stop", " ", "empty", AnswerEmpty),
        ("other", "", "empty", AnswerEmpty),
    ],
)
async def test_what_is_not_whole_is_an_outcome_of_its_own_unless_it_is_accepted(
    finish_reason: FinishReason, text: str, word: str, error: type[Exception]
) -> None:
    for schema in (None, SCHEMA):
        with pytest.raises(error):
            await answer(response(text, finish_reason), schema)
    assert text == await answer(response(text, finish_reason), accept=(word,))
    assert await answer(response(text, finish_reason), SCHEMA, accept=(word,)) is None

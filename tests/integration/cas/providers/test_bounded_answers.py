"""What a vendor sends is taken up to a bound, however small it comes over the line."""

import gzip
import json
from collections.abc import AsyncIterator, Callable

import pytest

from cas.errors import MalformedProviderResponse, ProviderUnavailable
from cas.provider_models import MAX_ANSWER_BYTES, ChatMessage, ModelProvider, ModelRequest
from cas.providers.anthropic_provider import AnthropicProvider
from cas.providers.litellm_provider import LitellmProvider
from cas.providers.openai_provider import OpenAIProvider
from tests.unit.activities.tools.http_service import HttpService, answer

# What pydantic holds against litellm's own code, told in the middle of a call.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class .* is using the `ReadOnly` qualifier"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute on the instance"),
]

BUILDERS: dict[str, Callable[[str], ModelProvider]] = {
    "openai": lambda url: OpenAIProvider(api_key="test-key", base_url=url),
    "anthropic": lambda url: AnthropicProvider(api_key="test-key", base_url=url),
    "litellm": lambda url: LitellmProvider(api_key="test-key", base_url=url),
}


@pytest.fixture
async def vendor() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


@pytest.fixture(params=list(BUILDERS))
async def provider(request: pytest.FixtureRequest, vendor: HttpService) -> AsyncIterator[ModelProvider]:
    if request.param == "litellm":
        import litellm

        litellm.in_memory_llm_clients_cache.cache_dict.clear()
    provider = BUILDERS[request.param](vendor.url)
    yield provider
    await provider.close()


def asking(provider: ModelProvider) -> ModelRequest:
    model = "openai/test-model" if provider.name == "litellm" else "test-model"
    messages = (ChatMessage(role="user", text="a question"),)
    return ModelRequest(model=model, messages=messages, max_output_tokens=50, timeout_seconds=60.0)


def body(text: str, *, tokens: int = 3) -> bytes:
    """An answer in both protocols."""
    both = {
        "id": "a",
        "model": "test-model",
        "type": "message",
        "role": "assistant",
        "object": "chat.completion",
        "created": 1,
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": text}],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": tokens,
            "completion_tokens": 1,
            "total_tokens": tokens,
            "input_tokens": tokens,
            "output_tokens": 1,
        },
    }
    return json.dumps(both).encode()


async def test_a_compressed_answer_is_read(provider: ModelProvider, vendor: HttpService) -> None:
    zipped = gzip.compress(body("Grüße"))
    vendor.answers = [answer(200, zipped, content_type="application/json", content_encoding="gzip")]

    assert "Grüße" == (await provider.complete(asking(provider))).text
    assert "gzip, deflate" == vendor.asked[0].headers["accept-encoding"]


@pytest.mark.parametrize("is_zipped", [True, False])
async def test_an_answer_beyond_the_bound_is_not_taken(
    provider: ModelProvider, vendor: HttpService, is_zipped: bool
) -> None:
    long = body("x" * (MAX_ANSWER_BYTES + 1))
    encoding = {"content_encoding": "gzip"} if is_zipped else {}
    content = gzip.compress(long, 1) if is_zipped else long
    vendor.answers = [answer(200, content, content_type="application/json", **encoding)]

    # litellm tells of no causes.
    with pytest.raises(ProviderUnavailable if provider.name == "litellm" else MalformedProviderResponse):
        await provider.complete(asking(provider))


async def test_a_usage_that_no_call_can_have_does_not_lose_the_answer(
    provider: ModelProvider, vendor: HttpService
) -> None:
    vendor.answers = [answer(200, body("kept", tokens=10**18), content_type="application/json")]

    response = await provider.complete(asking(provider))

    assert ("kept", True) == (response.text, response.usage_is_estimated)
    assert response.usage.input_tokens < 1_000

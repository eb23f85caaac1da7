"""A scripted vendor for each test, and providers that speak to it through the vendors' own SDKs."""

from collections.abc import AsyncIterator

import pytest

from cas.provider_models import ModelProvider
from cas.providers.anthropic_provider import AnthropicProvider
from cas.providers.local_provider import LocalProvider
from cas.providers.openai_provider import OpenAIProvider
from tests.scripted_provider import ScriptedProvider


@pytest.fixture
async def vendor() -> AsyncIterator[ScriptedProvider]:
    async with ScriptedProvider() as vendor:
        yield vendor


@pytest.fixture
async def openai_provider(vendor: ScriptedProvider) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider(api_key="test-key", base_url=vendor.base_url_openai)
    yield provider
    await provider.close()


@pytest.fixture
async def anthropic_provider(vendor: ScriptedProvider) -> AsyncIterator[AnthropicProvider]:
    provider = AnthropicProvider(api_key="test-key", base_url=vendor.base_url_anthropic)
    yield provider
    await provider.close()


@pytest.fixture
async def local_provider(vendor: ScriptedProvider) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(base_url=vendor.base_url_openai)
    yield provider
    await provider.close()


@pytest.fixture(params=["openai", "anthropic", "local"])
async def provider(request: pytest.FixtureRequest, vendor: ScriptedProvider) -> AsyncIterator[ModelProvider]:
    """Each of the providers that speak a protocol of their own: what holds for one holds for all."""
    provider: ModelProvider
    if request.param == "openai":
        provider = OpenAIProvider(api_key="test-key", base_url=vendor.base_url_openai)
    elif request.param == "anthropic":
        provider = AnthropicProvider(api_key="test-key", base_url=vendor.base_url_anthropic)
    else:
        provider = LocalProvider(base_url=vendor.base_url_openai)
    yield provider
    await provider.close()

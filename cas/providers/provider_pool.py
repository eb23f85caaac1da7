"""The providers of this process, each built at its first use: an SDK takes a second or more to import."""

from collections.abc import Callable

from agentflow.settings import Settings
from cas.errors import ProviderNotConfigured
from cas.provider_models import ModelProvider


class ProviderPool:
    """One provider of each name, and so one pool of connections to each vendor."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._providers: dict[str, ModelProvider] = {}
        self._builders: dict[str, Callable[[], ModelProvider]] = {
            "anthropic": self._build_anthropic,
            "litellm": self._build_litellm,
            "local": self._build_local,
            "openai": self._build_openai,
        }

    def get(self, name: str) -> ModelProvider:
        """The provider of this name.

        Blocks for the SDK's import at the first use of `openai`, `local` and `anthropic`.
        Raises ProviderNotConfigured, naming the setting, when it cannot be built.
        """
        provider = self._providers.get(name)
        if provider is None:
            build = self._builders.get(name)
            if build is None:
                known = ", ".join(self._builders)
                raise ProviderNotConfigured(provider=name, setting="MODELS", advice=f"may name the providers {known}")
            provider = build()
            self._providers[name] = provider
        return provider

    async def close(self) -> None:
        """Closes the connections of every provider that was built."""
        while self._providers:
            _, provider = self._providers.popitem()
            await provider.close()

    def _build_openai(self) -> ModelProvider:
        key = self._settings.openai_api_key
        if key is None or not key.get_secret_value():
            raise ProviderNotConfigured(provider="openai", setting="OPENAI_API_KEY", advice="is not set")
        from cas.providers.openai_provider import OpenAIProvider

        return OpenAIProvider(api_key=key.get_secret_value(), base_url=self._settings.openai_base_url)

    def _build_anthropic(self) -> ModelProvider:
        key = self._settings.anthropic_api_key
        if key is None or not key.get_secret_value():
            raise ProviderNotConfigured(provider="anthropic", setting="ANTHROPIC_API_KEY", advice="is not set")
        from cas.providers.anthropic_provider import AnthropicProvider

        return AnthropicProvider(api_key=key.get_secret_value(), base_url=self._settings.anthropic_base_url)

    def _build_local(self) -> ModelProvider:
        url = self._settings.local_model_url
        if url is None:
            raise ProviderNotConfigured(
                provider="local", setting="LOCAL_MODEL_URL", advice="is not set; http://127.0.0.1:8000/v1, for one"
            )
        from cas.providers.local_provider import LocalProvider

        return LocalProvider(base_url=url)

    def _build_litellm(self) -> ModelProvider:
        from cas.providers.litellm_provider import LitellmProvider

        return LitellmProvider()

"""The pool builds what the settings allow, once, and as late as it can."""

import subprocess
import sys

import pytest
from pydantic import SecretStr

from agentflow.settings import Settings
from cas.errors import ProviderNotConfigured
from cas.providers.provider_pool import ProviderPool
from tests.integration.cas.providers.requests import asking
from tests.scripted_provider import ScriptedProvider


@pytest.mark.parametrize("name", ["openai", "anthropic", "local"])
async def test_a_provider_is_built_from_the_settings_once_and_answers(vendor: ScriptedProvider, name: str) -> None:
    pool = ProviderPool(
        Settings(
            openai_api_key=SecretStr("test-key"),
            openai_base_url=vendor.base_url_openai,
            anthropic_api_key=SecretStr("test-key"),
            anthropic_base_url=vendor.base_url_anthropic,
            local_model_url=vendor.base_url_openai,
        )
    )

    response = await pool.get(name).complete(asking())

    assert response.text.startswith("echo ")
    assert name == pool.get(name).name
    assert pool.get(name) is pool.get(name)
    await pool.close()


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("local", "LOCAL_MODEL_URL"),
        ("no-such-vendor", "MODELS"),
    ],
)
@pytest.mark.parametrize("key", [None, SecretStr("")], ids=["unset", "empty"])
async def test_a_provider_that_is_not_configured_names_the_setting(
    name: str, setting: str, key: SecretStr | None
) -> None:
    bare = Settings(openai_api_key=key, anthropic_api_key=key, local_model_url=None)

    with pytest.raises(ProviderNotConfigured, match=setting) as refusal:
        ProviderPool(bare).get(name)

    assert (name, setting) == (refusal.value.provider, refusal.value.setting)


async def test_a_pool_that_built_nothing_closes() -> None:
    pool = ProviderPool(Settings())

    assert "litellm" == pool.get("litellm").name
    await pool.close()


def test_no_sdk_is_imported_before_a_provider_is_asked_for() -> None:
    program = (
        "import sys, cas.providers.provider_pool, cas.providers.litellm_provider; "
        "print([name for name in ('litellm', 'openai', 'anthropic') if name in sys.modules])"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == finished.stdout.strip()

import json
import os

import pytest

from agentflow.settings import Settings
from cli.embedded.process_settings import NOT_OF_THE_STACK, SETTINGS_OF, StackProcess
from cli.embedded.stack_environment import models_setting, process_environment, without_proxy_for_loopback
from cli.embedded.system_environment import system_environment


def test_the_local_model_is_offered_to_every_tier_when_the_user_names_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELS", raising=False)

    setting = models_setting(with_local_model=True)
    monkeypatch.setenv("MODELS", setting["MODELS"])
    (offer,) = Settings().models

    assert (offer.provider, offer.model) == ("local", "smollm2-135m-instruct")
    assert offer.tiers == ("Gold", "Silver", "Bronze")
    assert (offer.input_micro_usd_per_million_tokens, offer.output_micro_usd_per_million_tokens) == (20_000, 40_000)
    assert offer.context_tokens == 8192


def test_models_that_the_user_set_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", json.dumps([{"provider": "openai", "model": "gpt-4o-mini"}]))

    assert models_setting(with_local_model=True) == {}


def test_without_the_local_model_nothing_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELS", raising=False)

    assert models_setting(with_local_model=False) == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "intranet.example"}, "intranet.example,127.0.0.1,localhost"),
        ({"no_proxy": "localhost", "NO_PROXY": "ignored.example"}, "localhost,127.0.0.1"),
    ],
)
def test_this_machine_is_reached_without_a_proxy(before: dict[str, str], after: str) -> None:
    assert {"NO_PROXY": after, "no_proxy": after} == without_proxy_for_loopback(before)


CANARIES = {
    "OPENAI_API_KEY": "of-openai",
    "ANTHROPIC_API_KEY": "of-anthropic",
    "anthropic_base_url": "https://anthropic.example",
    "TOOL_SECRETS": "{}",
    "VAULT_KEY": "",
    "CODEC_ENDPOINT_KEY": "c" * 32,
    "PAYLOAD_KEY_ID": "one",
    "TEMPORAL_API_KEY": "of-temporal-cloud",
    "WORKER_DEPLOYMENT": "agentflow",
    "WORKER_BUILD_ID": "one",
    "DATABASE_URL": "postgresql://elsewhere/db",
    "GEMINI_API_KEY": "of-gemini",
    "GOOGLE_APPLICATION_CREDENTIALS": "of-google",
    "AWS_SECRET_ACCESS_KEY": "of-aws",
    "GITHUB_TOKEN": "of-github",
    "FILES_KEY": "of-the-files-server",
    "UNRELATED_SECRET": "of-the-user",
    "NAMED_SECRET": "of-a-tool",
    "PGPASSWORD": "of-postgres",
}
STACK = {"DATABASE_URL": "postgresql:///agentflow", "VAULT_KEY": "of-the-stack", "AGENTFLOW_DEV_API_KEY_FILE": "/key"}


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MCP_SERVERS", json.dumps({"files": {"command": "files", "env": ["FILES_KEY"]}}))


def test_every_setting_is_given_to_those_processes_that_read_it() -> None:
    placed = [*SETTINGS_OF.values(), NOT_OF_THE_STACK]

    # A setting that is missing here has to be placed in cli/embedded/process_settings.py.
    assert set(Settings.model_fields) == frozenset().union(*placed)
    assert not any(NOT_OF_THE_STACK & settings for settings in SETTINGS_OF.values())


def test_the_api_gets_no_key_of_vendors_tools_or_the_vault() -> None:
    of_the_worker = SETTINGS_OF[StackProcess.WORKER] - SETTINGS_OF[StackProcess.API]

    assert {"vault_key", "openai_api_key", "anthropic_api_key", "tool_secrets"} <= of_the_worker
    assert "codec_endpoint_key" not in SETTINGS_OF[StackProcess.WORKER]


@pytest.mark.usefixtures("canaries")
def test_each_process_gets_what_it_needs_and_no_secret_else() -> None:
    api = process_environment(StackProcess.API, STACK)
    worker = process_environment(StackProcess.WORKER, STACK)

    found = {name for name in {**CANARIES, **STACK} if name in api}
    assert {"DATABASE_URL", "CODEC_ENDPOINT_KEY", "PAYLOAD_KEY_ID", "AGENTFLOW_DEV_API_KEY_FILE", "FILES_KEY"} == found
    found = {name for name in {**CANARIES, **STACK} if name in worker}
    own = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "anthropic_base_url", "TOOL_SECRETS", "VAULT_KEY"}
    assert {"DATABASE_URL", "PAYLOAD_KEY_ID", "FILES_KEY"} | own == found
    assert ("of-the-stack", "postgresql:///agentflow") == (worker["VAULT_KEY"], api["DATABASE_URL"])


@pytest.mark.usefixtures("canaries")
def test_programs_that_are_not_ours_get_nothing_but_the_systems_variables() -> None:
    given = system_environment()

    assert not set(CANARIES) & set(given)
    assert not set(Settings.model_fields) & {name.lower() for name in given}
    assert os.environ["PATH"] == given["PATH"]


@pytest.mark.usefixtures("canaries")
def test_what_vendors_and_stores_read_by_themselves_goes_to_the_worker_that_uses_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODELS", json.dumps([{"provider": "litellm", "model": "gemini/gemini-2.5-flash"}]))
    monkeypatch.setenv("BUCKETS", json.dumps({"documents": "s3://acme/"}))
    monkeypatch.setenv("AGENTFLOW_WORKER_VARIABLES", "NAMED_SECRET, VAULT_KEY,")

    api = process_environment(StackProcess.API, STACK)
    worker = process_environment(StackProcess.WORKER, STACK)

    wanted = {"GEMINI_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SECRET_ACCESS_KEY", "NAMED_SECRET"}
    assert wanted <= set(worker)
    assert not wanted & set(api)
    assert not {"GITHUB_TOKEN", "UNRELATED_SECRET"} & set(worker)


def test_a_store_of_content_in_a_bucket_is_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOB_STORE_URL", "s3://acme/content")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-aws")

    assert all("AWS_SECRET_ACCESS_KEY" in process_environment(process, STACK) for process in StackProcess)

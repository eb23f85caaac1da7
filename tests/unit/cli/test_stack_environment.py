import json

import pytest

from agentflow.settings import Settings
from cli.embedded.stack_environment import child_environment, models_setting, without_proxy_for_loopback


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


def test_children_keep_the_users_keys_but_not_another_temporals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-user")
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("TEMPORAL_API_KEY", "of-temporal-cloud")

    environment = child_environment({"DATABASE_URL": "postgresql:///agentflow"})

    assert environment["OPENAI_API_KEY"] == "of-the-user"
    assert environment["DATABASE_URL"] == "postgresql:///agentflow"
    assert "TEMPORAL_API_KEY" not in environment


def test_a_version_of_the_users_own_workers_is_not_the_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_DEPLOYMENT", "agentflow")
    monkeypatch.setenv("WORKER_BUILD_ID", "one")

    assert not {"WORKER_DEPLOYMENT", "WORKER_BUILD_ID"} & set(child_environment({}))

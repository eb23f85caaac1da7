import json
from pathlib import Path

import pytest

from agentflow.settings import load_settings
from cli.embedded.key_files import ensure_vault_key
from cli.embedded.payload_sealing import payload_settings, settings_of_stack

OWN_KEYS = json.dumps({"mine": "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w="})


def test_a_new_folder_encrypts_from_its_first_run_on_and_accepts_nothing_else(tmp_path: Path) -> None:
    settings = payload_settings(tmp_path)
    ensure_vault_key(tmp_path / "vault.key")

    assert ("embedded", "bound") == (settings["PAYLOAD_KEY_ID"], settings["PAYLOADS_ACCEPTED"])
    assert settings == payload_settings(tmp_path)


def test_a_folder_from_before_goes_on_reading_what_it_has(tmp_path: Path) -> None:
    ensure_vault_key(tmp_path / "vault.key")

    settings = payload_settings(tmp_path)

    assert settings["PAYLOADS_ACCEPTED"] == "any"
    assert settings == payload_settings(tmp_path)


def test_keys_of_the_users_own_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYLOAD_KEYS", OWN_KEYS)
    monkeypatch.setenv("PAYLOAD_KEY_ID", "mine")

    assert {} == payload_settings(tmp_path)
    assert {"mine"} == set(settings_of_stack(tmp_path, temporal_address="127.0.0.1:1").payload_keys)


def test_an_operator_reads_with_the_folders_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in payload_settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    of_the_processes = load_settings().decoded_payload_keys()
    monkeypatch.delenv("PAYLOAD_KEYS")

    settings = settings_of_stack(tmp_path, temporal_address="127.0.0.1:1")

    assert ("127.0.0.1:1", "bound") == (settings.temporal_address, settings.payloads_accepted)
    assert of_the_processes == settings.decoded_payload_keys()


def test_a_folder_without_a_key_is_read_as_it_is(tmp_path: Path) -> None:
    assert {} == settings_of_stack(tmp_path, temporal_address="127.0.0.1:1").payload_keys

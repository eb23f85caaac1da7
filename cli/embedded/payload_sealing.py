"""What the stack's Temporal keeps is encrypted: its database is a file, and its history would quote documents."""

import json
from pathlib import Path

from agentflow.settings import Settings, load_settings
from cli.embedded.key_files import ensure_vault_key

_KEY_ID = "embedded"


def payload_settings(data_dir: Path) -> dict[str, str]:
    """The settings that encrypt payloads with a key of the folder's own, unless the user has keys.

    To be called before the folder's vault key is made: a folder that has one may have histories that are not encrypted.
    """
    if load_settings().payload_keys:
        return {}
    key_file, marker = _files_in(data_dir)
    if not key_file.exists() and (data_dir / "vault.key").exists():
        marker.touch(mode=0o600)
    return {
        "PAYLOAD_KEYS": json.dumps({_KEY_ID: ensure_vault_key(key_file)}),
        "PAYLOAD_KEY_ID": _KEY_ID,
        "PAYLOADS_ACCEPTED": "any" if marker.exists() else "bound",
    }


def settings_of_stack(data_dir: Path, *, temporal_address: str) -> Settings:
    """The settings with which what the Temporal of a stack in `data_dir` keeps can be read."""
    key_file, marker = _files_in(data_dir)
    if load_settings().payload_keys or not key_file.is_file():
        return load_settings(temporal_address=temporal_address)
    return load_settings(
        temporal_address=temporal_address,
        payload_keys={_KEY_ID: ensure_vault_key(key_file)},
        payload_key_id=_KEY_ID,
        payloads_accepted="any" if marker.exists() else "bound",
    )


def _files_in(data_dir: Path) -> tuple[Path, Path]:
    """The key, and the mark of a folder that has histories from before it had one."""
    return data_dir / "payload.key", data_dir / "payload.plain-before"

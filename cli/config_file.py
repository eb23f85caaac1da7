"""The configuration of `agentctl`: one YAML file of this user's, readable by nobody else, because it holds a key."""

import os
from pathlib import Path

from agentflow.errors import ConfigurationError

KEYS = {"api_url": "The server, such as http://127.0.0.1:8080.", "api_key": "The API key, `af_…`."}


def config_path() -> Path:
    """`$AGENTCTL_CONFIG`, or `agentflow/agentctl.yaml` in the user's configuration folder (XDG)."""
    named = os.environ.get("AGENTCTL_CONFIG")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "agentflow" / "agentctl.yaml"


def read_config() -> dict[str, str]:
    """What is configured; empty without a file. Raises ConfigurationError for a file that is not one."""
    path = config_path()
    if not path.is_file():
        return {}
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: bytes that are not UTF-8, or a date that no calendar has.
        raise ConfigurationError(
            f"{path} is not valid YAML; mend it, or write it anew with: agentctl config init --force"
        ) from error
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise ConfigurationError(f"{path} must hold lines like `api_url: http://…`; the keys are {', '.join(KEYS)}")
    unknown = [key for key in document if key not in KEYS]
    if unknown:
        raise ConfigurationError(f"{path}: {unknown[0]!r} is not a key; the keys are {', '.join(KEYS)}")
    return document


def write_config(values: dict[str, str]) -> Path:
    """Replaces the file in one step, with mode 0600, and returns where it is; raises ConfigurationError."""
    import yaml

    from cli.embedded.key_files import write_private

    path = config_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, yaml.safe_dump(values, sort_keys=True))
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror}; name another file in AGENTCTL_CONFIG"
        raise ConfigurationError(reason) from error
    return path

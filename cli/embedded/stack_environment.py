"""The settings that the stack's processes and its clients share, as environment variables."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from agentflow.settings import load_settings
from cli.embedded.local_model_server import local_model_offer
from cli.embedded.waiting import LOOPBACK

#: They would send the stack's processes to another Temporal, or with another identity, than the embedded one; or have
#: its worker wait, as a build that nobody promotes.
_NOT_INHERITED = (
    "TEMPORAL_API_KEY",
    "TEMPORAL_TLS_CERT",
    "TEMPORAL_TLS_KEY",
    "TEMPORAL_TLS_CA",
    "TEMPORAL_TLS_SERVER_NAME",
    "TEMPORAL_CONFIG_FILE",
    "TEMPORAL_PROFILE",
    "WORKER_DEPLOYMENT",
    "WORKER_BUILD_ID",
)


def models_setting(*, with_local_model: bool) -> dict[str, str]:
    """`MODELS` with the local model, unless the user's environment or configuration file names models already."""
    if load_settings().models or not with_local_model:
        return {}
    return {"MODELS": json.dumps([local_model_offer().model_dump(mode="json", exclude_none=True)])}


def buckets_setting(documents_folder: Path) -> dict[str, str]:
    """`BUCKETS` with `documents` in the stack's own folder, unless the user names buckets already."""
    if load_settings().buckets:
        return {}
    return {"BUCKETS": json.dumps({"documents": f"{documents_folder.as_uri()}/"})}


def without_proxy_for_loopback(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which HTTP clients reach this machine's own servers directly, where a proxy is configured."""
    exempt = [host for host in environment.get("no_proxy", environment.get("NO_PROXY", "")).split(",") if host]
    hosts = ",".join(dict.fromkeys([*exempt, LOOPBACK, "localhost"]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def child_environment(stack: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the stack's settings over it: provider keys and buckets of the user's stay."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, **stack}

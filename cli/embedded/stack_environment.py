"""The environment of each of the stack's processes: what runs a program anywhere, and the settings that it reads."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from agentflow.settings import ModelOffer, Settings, load_settings
from cli.embedded.local_model_server import local_model_offer
from cli.embedded.process_settings import SETTINGS_OF, StackProcess
from cli.embedded.system_environment import is_of_the_system
from cli.embedded.waiting import LOOPBACK

#: Further variables that the worker gets, separated by commas: for vendors and tools that read some of their own.
WORKER_VARIABLES = "AGENTFLOW_WORKER_VARIABLES"
#: What litellm reads of a vendor begins with the first part of the vendor's name; of some, with something else too.
_ALSO_READ: Mapping[str, str] = {
    "BEDROCK": "AWS_",
    "COHERE": "CO_",
    "GEMINI": "GOOGLE_",
    "HUGGINGFACE": "HF_",
    "OPENROUTER": "OR_",
    "SAGEMAKER": "AWS_",
    "VERTEX": "GOOGLE_",
    "WATSONX": "WX_",
}
#: What object stores read, by the scheme of their URLs.
_OF_STORES: Mapping[str, str] = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_", "azure": "AZURE_", "abfs": "AZURE_"}

_PROXIES = ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


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


def process_environment(process: StackProcess, stack: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process: of ours, with the stack's settings over it, what that process needs.

    Raises ConfigurationError for settings that cannot work.
    """
    settings = load_settings()
    names, prefixes = set(_named_variables(process, settings)), tuple(_vendors_prefixes(process, settings))

    def is_needed(name: str) -> bool:
        # Settings are read whatever the case of their names.
        if (setting := name.lower()) in Settings.model_fields:
            return setting in SETTINGS_OF[process]
        return is_of_the_system(name) or name in names or name.startswith(("OTEL_", *prefixes))

    settings_here = {name.lower() for name in stack}
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in settings_here}
    return {name: value for name, value in {**inherited, **stack}.items() if is_needed(name)}


def _named_variables(process: StackProcess, settings: Settings) -> Iterator[str]:
    """The variables that are no settings, and that somebody has named."""
    yield from ("AGENTFLOW_CONFIG", *_PROXIES)
    for server in settings.mcp_servers.values():
        yield from server.env
        yield from server.headers.values()
    if process is StackProcess.API:
        yield "AGENTFLOW_DEV_API_KEY_FILE"
    if process is StackProcess.WORKER:
        yield from (name.strip() for name in os.environ.get(WORKER_VARIABLES, "").split(","))


def _vendors_prefixes(process: StackProcess, settings: Settings) -> Iterator[str]:
    """How those variables begin that the libraries of vendors and of object stores read by themselves."""
    urls = [settings.blob_store_url or ""]
    if process is StackProcess.WORKER:
        urls += settings.buckets.values()
        for offer in settings.models:
            vendor = _vendor_of(offer)
            yield vendor
            if vendor in _ALSO_READ:
                yield _ALSO_READ[vendor]
    for url in urls:
        if (scheme := urlsplit(url).scheme) in _OF_STORES:
            yield _OF_STORES[scheme]


def _vendor_of(offer: ModelOffer) -> str:
    """`TOGETHER` of `together_ai/…`: the variables of vendors do not agree on more."""
    name = offer.model.partition("/")[0] if offer.provider == "litellm" else offer.provider
    return name.replace("-", "_").partition("_")[0].upper()

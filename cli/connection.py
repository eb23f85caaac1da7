"""Which server a command speaks to: options, then the environment, then the configuration, then a stack right here."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agentflow.client import AgentflowClient

DEFAULT_API_URL = "http://127.0.0.1:8080"
#: Where `agentctl dev` keeps its stack unless told otherwise.
STACK_FOLDER = Path(".agentflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A server, a key, and where each came from."""

    api_url: str
    api_key: str | None
    api_url_source: str
    api_key_source: str


def find_connection(context: click.Context) -> Connection:
    """The server and the key of this command."""
    given: dict[str, Any] = context.find_root().obj or {}
    from cli.config_file import read_config

    config = read_config()
    stack = _stack_here()
    api_url, url_source = _first(
        (given.get("api_url"), "--api-url"),
        (os.environ.get("AGENTFLOW_API_URL"), "AGENTFLOW_API_URL"),
        (config.get("api_url"), "configuration"),
        (stack.get("api_url"), "the stack in .agentflow"),
        (DEFAULT_API_URL, "default"),
    )
    api_key, key_source = _first(
        (given.get("api_key"), "--api-key"),
        (os.environ.get("AGENTFLOW_API_KEY"), "AGENTFLOW_API_KEY"),
        # Each only for its own server: no other is to see it.
        (config.get("api_key") if api_url == config.get("api_url", api_url) else None, "configuration"),
        (stack.get("api_key") if api_url == stack.get("api_url") else None, "the stack in .agentflow"),
    )
    return Connection(
        api_url=api_url or DEFAULT_API_URL, api_key=api_key, api_url_source=url_source, api_key_source=key_source
    )


def connect(context: click.Context) -> "AgentflowClient":
    """A client for this command; to be used as a context manager."""
    from agentflow.client import AgentflowClient

    connection = find_connection(context)
    return AgentflowClient(connection.api_url, api_key=connection.api_key)


def stack_address(part: str) -> str | None:
    """Where a part of a stack that runs from this folder answers."""
    return _stack_addresses().get(part)


def _first(*candidates: tuple[str | None, str]) -> tuple[str | None, str]:
    return next(((value, source) for value, source in candidates if value), (None, "nowhere"))


def _stack_here() -> dict[str, str]:
    """Address and key of a stack that runs from this folder."""
    addresses = _stack_addresses()
    if "api" not in addresses:
        return {}
    found = {"api_url": addresses["api"]}
    with contextlib.suppress(OSError, ValueError):
        key_file = Path(addresses.get("api_key_file", ""))
        if key_file.is_file():
            found["api_key"] = key_file.read_text(encoding="ascii").strip()
    return found


def _stack_addresses() -> dict[str, str]:
    from cli.embedded.stack_record import is_running, read_record

    try:
        record = read_record(STACK_FOLDER) if STACK_FOLDER.is_dir() and is_running(STACK_FOLDER) else None
    except OSError:
        # Another user's stack: whoever wants to use it says where it is.
        record = None
    return dict(record.addresses) if record is not None else {}

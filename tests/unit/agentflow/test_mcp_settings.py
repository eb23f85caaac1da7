from typing import Any

import pytest

from agentflow.errors import ConfigurationError
from agentflow.settings import load_settings


def test_servers_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "MCP_SERVERS",
        '{"files": {"command": "mcp-files", "args": ["/srv"], "env": ["FILES_KEY"]},'
        ' "github": {"url": "https://example.com/mcp", "headers": {"Authorization": "GITHUB_AUTH"}}}',
    )

    servers = load_settings().mcp_servers

    assert ("mcp-files", ("/srv",), ("FILES_KEY",)) == (
        servers["files"].command,
        servers["files"].args,
        servers["files"].env,
    )
    assert {"Authorization": "GITHUB_AUTH"} == servers["github"].headers


@pytest.mark.parametrize(
    "servers",
    [
        {"a": {}},
        {"a": {"command": "x", "url": "https://example.com"}},
        {"a": {"command": "x", "headers": {"A": "B"}}},
        {"a": {"url": "https://example.com", "args": ["x"]}},
        {"a": {"url": "ftp://example.com"}},
        {"a": {"command": "x", "env": ["NOT A NAME"]}},
        {"a/b": {"command": "x"}},
        {"A": {"command": "x"}},
        {"a": {"command": "x", "secret": "y"}},
    ],
)
def test_what_cannot_be_is_refused(servers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="MCP_SERVERS"):
        load_settings(mcp_servers=servers)

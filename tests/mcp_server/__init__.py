"""A real MCP server, written with the SDK, over its standard streams or over HTTP."""

import sys
from collections.abc import Mapping
from pathlib import Path

from agentflow.mcp_settings import McpServer

ROOT = Path(__file__).parents[2]


def stdio_server(*, env: tuple[str, ...] = (), log: Path | None = None, **more: float) -> McpServer:
    """The server as a process of its own; `log` gets a line for each call of `book`, and for each process."""
    args = ("-m", "tests.mcp_server", *(("--log", str(log)) if log is not None else ()))
    return McpServer.model_validate(
        {"command": sys.executable, "args": ("-c", _START, str(ROOT), *args[1:]), "env": env, **more}
    )


def server_of_oddities(*args: str, env: tuple[str, ...] = ()) -> McpServer:
    """The server whose tools and answers are not quite the protocol's."""
    return McpServer(command=sys.executable, args=(str(Path(__file__).with_name("odd_server.py")), *args), env=env)


def http_server(port: int, *, headers: Mapping[str, str] | None = None) -> McpServer:
    """The server that `running_http_server` runs at `port`."""
    return McpServer(url=f"http://127.0.0.1:{port}/mcp", headers=dict(headers or {}))


#: The process has neither our folder nor our environment.
_START = (
    "import sys, runpy; root, module = sys.argv[1:3]; sys.path.insert(0, root); "
    "sys.argv[1:3] = []; runpy.run_module(module, run_name='__main__')"
)

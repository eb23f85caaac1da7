"""The names of MCP tools in documents: `mcp:<server>/<tool>`."""

PREFIX = "mcp:"


def is_mcp_tool(name: str) -> bool:
    """Whether a tool's name is one of an MCP server's tool."""
    return name.startswith(PREFIX)


def tool_name(server: str, tool: str) -> str:
    """The name in documents."""
    return f"{PREFIX}{server}/{tool}"


def split_name(name: str) -> tuple[str, str] | None:
    """Server and tool; None for a name that has not both."""
    server, slash, tool = name.removeprefix(PREFIX).partition("/")
    return (server, tool) if is_mcp_tool(name) and slash and server and tool else None


def server_as_owner(server: str) -> str:
    """Whose turn work on a server's messages is (`agentflow.heavy_work`): no organisation's, as all of them use it."""
    return f"mcp:{server}"

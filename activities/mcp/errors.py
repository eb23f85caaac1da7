"""How a tool of an MCP server fails, besides EffectUncertain for a call that no answer came to.

McpError
├── McpServerUnknown      no server of that name is configured
├── McpServerUnavailable  the server does not answer, and nothing has been asked of it
├── McpCallRefused        the server refuses the call: the tool, or its arguments
├── McpToolFailed         the tool says that it failed
└── McpAnswerUnreadable   the answer is not the protocol's
"""

from activities.errors import StepError


class McpError(StepError):
    """A tool of an MCP server cannot give its output."""

    code = "mcp.error"


class McpServerUnknown(McpError):
    """No server of that name is configured where the call was to be made."""

    code = "mcp.server_unknown"

    def __init__(self, *, server: str) -> None:
        self.server = server
        super().__init__(f"there is no mcp server {server!r}; configure it in MCP_SERVERS, the same for every worker")


class McpServerUnavailable(McpError):
    """The server does not answer, and nothing has been asked of it."""

    code = "mcp.server_unavailable"

    def __init__(self, *, server: str, reason: str) -> None:
        self.server, self.reason = server, reason
        super().__init__(f"mcp server {server!r} does not answer: {reason}")


class McpCallRefused(McpError):
    """The server refuses the call itself; the same again would be refused again."""

    code = "mcp.call_refused"

    def __init__(self, *, tool: str, rpc_code: int) -> None:
        self.tool, self.rpc_code = tool, rpc_code
        super().__init__(f"the server refuses the call of {tool!r} (JSON-RPC error {rpc_code})")


class McpToolFailed(McpError):
    """The tool says of itself that it failed; what it says stands in `text`, and in no log or history."""

    code = "mcp.tool_failed"

    def __init__(self, *, tool: str, text: str) -> None:
        self.tool, self.text = tool, text
        super().__init__(f"tool {tool!r} says that it failed")


class McpAnswerUnreadable(McpError):
    """The answer is not what the protocol asks for."""

    code = "mcp.answer_unreadable"

    def __init__(self, *, tool: str, reason: str) -> None:
        self.tool, self.reason = tool, reason
        super().__init__(f"the answer of {tool!r} cannot be read: {reason}")

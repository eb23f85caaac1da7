"""Which MCP servers there are and how they are reached: the operator's word, never a document's."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: The name of an environment variable: secrets stand in the environment, and settings say where.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,126}$")]
#: What stands between `mcp:` and `/` in the name of a tool.
McpServerName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class McpServer(BaseModel):
    """A server of the Model Context Protocol: a `command` to speak with over its standard streams, or a `url`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str | None = Field(default=None, min_length=1)
    args: tuple[str, ...] = ()
    #: Variables that the command gets of this process's environment, besides PATH, HOME and the like.
    env: tuple[EnvironmentName, ...] = ()
    #: Of a server that speaks Streamable HTTP.
    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    #: Header → the environment variable that holds its whole value.
    headers: dict[str, EnvironmentName] = Field(default_factory=dict)
    #: How long the server may take to begin to speak, or to list its tools.
    connect_seconds: float = Field(default=20.0, gt=0, le=300)
    #: How long one call of a tool may take.
    call_seconds: float = Field(default=120.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _is_reached_in_one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("say a `command` or a `url`, and not both")
        if self.url is None and self.headers:
            raise ValueError("`headers` belong to a `url`; a command gets its secrets by `env`")
        if self.command is None and (self.args or self.env):
            raise ValueError("`args` and `env` belong to a `command`; a url gets its secrets by `headers`")
        return self

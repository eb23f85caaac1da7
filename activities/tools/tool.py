"""What a tool is: a contract that the compiler checks documents against, and a call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agentflow.settings import Settings
from runs.signatures import StepSignature


class ToolContext(Protocol):
    """What a tool may use of the worker: settings, and the content of its own organisation."""

    @property
    def settings(self) -> Settings:
        """The worker's settings."""
        ...

    @property
    def org_id(self) -> str:
        """The organisation that the step belongs to."""
        ...

    async def store(self, *, content: bytes, media_type: str) -> str:
        """Keeps content for the organisation and returns its digest."""
        ...

    async def load(self, digest: str) -> bytes:
        """The organisation's content by digest; raises BlobNotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that ships with AgentFlow. Its arguments have passed the signature's schema when it is called."""

    signature: StepSignature
    call: Callable[[ToolContext, Mapping[str, Any]], Awaitable[Any]]

"""What a tool is: a contract that the compiler checks documents against, a call, and what a second call would do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from activities.readers.document_readers import DocumentReaders
from agentflow.settings import Settings
from runs.effects import EffectClass
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

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step, on whatever worker; other for every other step."""
        ...

    @property
    def session(self) -> AsyncSession:
        """The transaction that also records the step; only a tool that is `transactional` has it."""
        ...

    @property
    def readers(self) -> DocumentReaders:
        """The readers of foreign formats, whose memory the worker's steps share."""
        ...

    async def store(self, *, content: bytes, media_type: str) -> str:
        """Keeps content for the organisation and returns its digest."""
        ...

    async def load(self, digest: str) -> bytes:
        """The organisation's content by digest; raises BlobNotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a tool found out about an earlier call of the same step."""

    state: Literal["done", "not_done", "unknown"]
    #: Of a call that was done.
    output: Any = field(default=None, repr=False)


ToolCall = Callable[[ToolContext, Mapping[str, Any]], Awaitable[Any]]
Probe = Callable[[ToolContext, Mapping[str, Any]], Awaitable[Probed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that a node can name. Its arguments have passed the signature's schema when it is called.

    What it raises says what became of the effect: EffectUncertain, and everything that is no AgentflowError, that
    nobody knows; any other AgentflowError, that nothing has happened.
    """

    signature: StepSignature
    call: ToolCall
    #: What a second call would do; where that depends on the arguments, a function of them.
    effect: EffectClass | Callable[[Mapping[str, Any]], EffectClass] = EffectClass.PURE
    #: Asked before a call is repeated whose effect class is `probe`.
    probe: Probe | None = None
    #: It works inside AgentFlow's own boundary, so that the vault's tokens mean to it what they mean to everyone here.
    is_inside: bool = False
    #: It writes through `ToolContext.session` and nowhere else, so that effect and record are one commit.
    transactional: bool = False

    def effect_of(self, arguments: Mapping[str, Any]) -> EffectClass:
        """What a second call with these arguments would do."""
        if self.transactional:
            # A call without its record has left nothing behind.
            return EffectClass.IDEMPOTENT
        effect = self.effect if isinstance(self.effect, EffectClass) else self.effect(arguments)
        # Without a way to find out, nobody but a person can.
        return EffectClass.AT_MOST_ONCE if effect is EffectClass.PROBE and self.probe is None else effect

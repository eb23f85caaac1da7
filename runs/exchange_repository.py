"""SQL of step exchanges: what an attempt of a step sent out and got back, whether it ended well or not.

An answer that was paid for is kept here even when nothing could be made of it. Contents are compressed JSON, under the
same rights as outputs, and go with their run.
"""

import json
import math
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import canonical_json
from agentflow.statements import Statement
from agentflow.storable_text import storable_text

#: What an attempt is remembered by is bounded, so that it is written in milliseconds: a whole output is a document.
MAX_CHARACTERS, MAX_TEXT_CHARACTERS, MAX_VALUES = 200_000, 100_000, 10_000
_LEFT_OUT = "[…]"

_Part = TypeVar("_Part")

_KEEP = text("""
    INSERT INTO step_exchanges (org_id, exchange_id, effect_key, run_id, attempt, status, error_code, error_message,
                                content, began_at, ended_at)
    VALUES (:org_id, :exchange_id, :effect_key, :run_id, :attempt, :status, :error_code, :error_message, :content,
            :began_at, :ended_at)
    ON CONFLICT DO NOTHING
""")
_OF_STEP = text("""
    SELECT attempt, status, error_code, error_message, began_at, ended_at, content AS compressed
    FROM step_exchanges WHERE org_id = :org_id AND effect_key = :effect_key
    ORDER BY ended_at DESC, attempt DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepExchange:
    """One attempt of a step."""

    org_id: str
    #: The same for the same attempt of the same Temporal execution, however often it is recorded.
    exchange_id: str
    effect_key: str
    run_id: str
    attempt: int
    status: str
    error_code: str | None
    error_message: str | None
    began_at: datetime
    ended_at: datetime
    #: `messages`, `answers`, `arguments`, `output`: those that there are.
    content: Mapping[str, Any] = field(repr=False)


def exchange_statement(exchange: StepExchange) -> Statement:
    """Keeps an attempt; once."""
    parameters = {
        "org_id": exchange.org_id,
        "exchange_id": exchange.exchange_id,
        "effect_key": exchange.effect_key,
        "run_id": exchange.run_id,
        "attempt": exchange.attempt,
        "status": exchange.status,
        "error_code": exchange.error_code,
        "error_message": None if exchange.error_message is None else storable_text(exchange.error_message),
        "content": zlib.compress(canonical_json(_Room().kept(exchange.content)), level=1),
        "began_at": exchange.began_at,
        "ended_at": exchange.ended_at,
    }
    return Statement(_KEEP, parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptExchange:
    """An attempt as it is stored."""

    attempt: int
    status: str
    error_code: str | None
    error_message: str | None
    began_at: datetime
    ended_at: datetime
    compressed: bytes = field(repr=False)

    def json(self) -> bytes:
        """The attempt as JSON, with the members of its content beside its own; large ones take their time."""
        error = None if self.error_code is None else {"code": self.error_code, "message": self.error_message or ""}
        facts = {
            "attempt": self.attempt,
            "status": self.status,
            "began_at": self.began_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "error": error,
        }
        content = zlib.decompress(self.compressed)
        return json.dumps(facts).encode()[:-1] + (b"}" if content == b"{}" else b"," + content[1:])


class ExchangeRepository:
    """Reads exchanges inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of_step(self, *, org_id: str, effect_key: str, limit: int) -> list[KeptExchange]:
        """The attempts of a step, the latest first."""
        parameters = {"org_id": org_id, "effect_key": effect_key, "limit": limit}
        return [KeptExchange(**row) for row in (await self._session.execute(_OF_STEP, parameters)).mappings()]


class _Room:
    """How much of a content is kept: whole texts and values until it is full, and then marks of what is left out."""

    def __init__(self) -> None:
        self._characters, self._values = MAX_CHARACTERS, MAX_VALUES

    def kept(self, value: Any) -> Any:
        """As much of `value` as there is room for, as JSON, whatever it is."""
        self._values -= 1
        if self._values < 0:
            return _LEFT_OUT
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._text(str(name)): self.kept(part) for name, part in self._first(value.items())}
        if isinstance(value, list | tuple):
            kept = [self.kept(part) for part in self._first(value)]
            return kept if len(kept) == len(value) else [*kept, f"{_LEFT_OUT} {len(value) - len(kept):,} more"]
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        # What no JSON can hold may be why the attempt failed.
        return self._text(str(value)) if isinstance(value, float) else f"[a {type(value).__name__}]"

    def _first(self, parts: Collection[_Part]) -> Iterator[_Part]:
        return islice(iter(parts), max(0, self._values))

    def _text(self, text: str) -> str:
        room = min(self._characters, MAX_TEXT_CHARACTERS)
        self._characters -= min(len(text), room)
        return text if len(text) <= room else f"{text[:room]}{_LEFT_OUT} {len(text) - room:,} more characters"

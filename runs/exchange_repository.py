"""SQL of step exchanges: what an attempt of a step sent out and got back, whether it ended well or not.

An answer that was paid for is kept here even when nothing could be made of it. Contents are compressed JSON, under the
same rights as outputs, and go with their run.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import canonical_json
from agentflow.statements import Statement
from agentflow.storable_text import storable_text

#: Longer texts are cut in the middle of nowhere: the whole of an output is a document of its own.
MAX_TEXT_CHARACTERS = 100_000

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
        "content": zlib.compress(canonical_json(_shortened(exchange.content)), level=1),
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


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARACTERS:
        return f"{value[:MAX_TEXT_CHARACTERS]}… [cut: {len(value):,} characters]"
    if isinstance(value, Mapping):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(part) for part in value]
    return value

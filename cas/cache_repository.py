"""SQL of the exact cache."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import Json
from agentflow.statements import Statement

_CACHE_GET = text("""
    SELECT cache_key, response FROM exact_cache
    WHERE org_id = :org_id AND cache_key = ANY(cast(:cache_keys AS varchar[])) AND expires_at > now()
""")
_CACHE_PUT = text("""
    INSERT INTO exact_cache (org_id, cache_key, response, created_at, expires_at)
    VALUES (:org_id, :cache_key, cast(:response AS jsonb), now(), now() + make_interval(secs => :ttl_seconds))
    ON CONFLICT (org_id, cache_key) DO UPDATE
    SET response = excluded.response, created_at = excluded.created_at, expires_at = excluded.expires_at
""")
_CACHE_SWEEP = text("DELETE FROM exact_cache WHERE expires_at < now()")


def get_statement(*, org_id: str, cache_keys: Sequence[str]) -> Statement:
    """The answers that are there and fresh: rows of `cache_key` and `response`."""
    return Statement(_CACHE_GET, {"org_id": org_id, "cache_keys": list(cache_keys)})


def put_statement(*, org_id: str, cache_key: str, response: Mapping[str, Json], ttl_seconds: float) -> Statement:
    """Keeps an answer for `ttl_seconds`."""
    parameters = {
        "org_id": org_id,
        "cache_key": cache_key,
        "response": json.dumps(response),
        "ttl_seconds": ttl_seconds,
    }
    return Statement(_CACHE_PUT, parameters)


class CacheRepository:
    """The exact cache; commits nothing."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get_any(self, *, org_id: str, cache_keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The answers that are there and fresh, by key."""
        statement = get_statement(org_id=org_id, cache_keys=cache_keys)
        rows = await self._session.execute(statement.clause, statement.parameters)
        return {row.cache_key: row.response for row in rows}

    async def put(self, *, org_id: str, cache_key: str, response: Mapping[str, Json], ttl_seconds: float) -> None:
        """Keeps an answer for `ttl_seconds`."""
        statement = put_statement(org_id=org_id, cache_key=cache_key, response=response, ttl_seconds=ttl_seconds)
        await self._session.execute(statement.clause, statement.parameters)

    async def sweep(self) -> None:
        """Deletes what is no longer fresh, of all organisations."""
        await self._session.execute(_CACHE_SWEEP)

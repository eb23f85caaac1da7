"""All SQL of the Secure Context Layer."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.ids import new_id
from agentflow.statements import Statement
from scl.models import PiiKind
from scl.token_vault import SealedToken

# In order of token, so that two transactions that store the same tokens wait for each other instead of deadlocking.
# A value has one sealed form: where another is behind its token, the cast fails, and with it the transaction.
_STORE_TOKENS = text("""
    WITH incoming AS MATERIALIZED (
        SELECT DISTINCT token, kind, sealed
        FROM unnest(CAST(:tokens AS varchar[]), CAST(:kinds AS varchar[]), CAST(:sealed AS bytea[]))
            AS given (token, kind, sealed)
    ),
    stored AS (
        INSERT INTO vault_tokens (org_id, token, kind, sealed, created_at)
        SELECT :org_id, token, kind, sealed, :created_at FROM incoming
        ORDER BY token
        ON CONFLICT (org_id, token) DO NOTHING
    )
    SELECT CAST('another value has the token ' || incoming.token AS integer)
    FROM incoming
    LEFT JOIN vault_tokens AS known ON known.org_id = :org_id AND known.token = incoming.token
    LEFT JOIN incoming AS other ON other.token = incoming.token
    WHERE known.sealed <> incoming.sealed OR other.sealed <> incoming.sealed
""")

_FETCH_TOKENS = text("""
    SELECT token, kind, sealed
    FROM vault_tokens
    WHERE org_id = :org_id AND token = ANY(CAST(:tokens AS varchar[]))
    ORDER BY token
""")

_RECORD_DETOKENISATION = text("""
    INSERT INTO scl_detokenisations (audit_id, org_id, run_id, node_id, tokens, kinds, created_at)
    VALUES (:audit_id, :org_id, :run_id, :node_id, :tokens, CAST(:kinds AS jsonb), :created_at)
""")


def store_statement(*, org_id: str, tokens: Sequence[SealedToken], created_at: datetime) -> Statement:
    """Stores what is not there yet; the database refuses a token behind which another value is."""
    parameters = {
        "org_id": org_id,
        "tokens": [sealed.token for sealed in tokens],
        "kinds": [sealed.kind.value for sealed in tokens],
        "sealed": [sealed.sealed for sealed in tokens],
        "created_at": created_at,
    }
    return Statement(_STORE_TOKENS, parameters)


class VaultRepository:
    """Sealed tokens of organisations, and the record of their opening. Never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def store_tokens(self, *, org_id: str, tokens: Sequence[SealedToken], created_at: datetime) -> None:
        """Stores what is not there yet, in one statement; raises DBAPIError for a token that has another value."""
        statement = store_statement(org_id=org_id, tokens=tokens, created_at=created_at)
        await self._session.execute(statement.clause, statement.parameters)

    async def fetch_tokens(self, *, org_id: str, tokens: Sequence[str]) -> list[SealedToken]:
        """Those of `tokens` that this organisation has, sorted by token."""
        rows = await self._session.execute(_FETCH_TOKENS, {"org_id": org_id, "tokens": list(tokens)})
        return [SealedToken(token=row.token, kind=PiiKind(row.kind), sealed=bytes(row.sealed)) for row in rows]

    async def record_detokenisation(
        self, *, org_id: str, run_id: str, node_id: str, kinds: Mapping[PiiKind, int], created_at: datetime
    ) -> None:
        """Adds one audit row: `kinds` counts the distinct tokens that were opened, by kind."""
        await self._session.execute(
            _RECORD_DETOKENISATION,
            {
                "audit_id": new_id("detok"),
                "org_id": org_id,
                "run_id": run_id,
                "node_id": node_id,
                "tokens": sum(kinds.values()),
                "kinds": json.dumps(kinds),
                "created_at": created_at,
            },
        )

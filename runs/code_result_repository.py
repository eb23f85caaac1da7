"""SQL of code results: the digest of a request of the sandbox, and of what it gave."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.statements import Statement

#: Results are asked for again soon or not at all; after this many days they are computed anew.
KEPT_DAYS = 30

_FIND = text("""
    SELECT output_digest FROM code_results
    WHERE org_id = :org_id AND request_digest = :request_digest AND created_at > now() - make_interval(days => :days)
""")
_KEEP = text("""
    INSERT INTO code_results (org_id, request_digest, output_digest, created_at)
    VALUES (:org_id, :request_digest, :output_digest, now())
    ON CONFLICT (org_id, request_digest) DO UPDATE
    SET output_digest = excluded.output_digest, created_at = excluded.created_at
""")
_DELETE_OLD = text("""
    DELETE FROM code_results WHERE (org_id, request_digest) IN (
        SELECT org_id, request_digest FROM code_results WHERE created_at < now() - make_interval(days => :days)
        LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
""")


def keep_statement(*, org_id: str, request_digest: str, output_digest: str) -> Statement:
    """Keeps a result, whose output is stored in the same transaction."""
    parameters = {"org_id": org_id, "request_digest": request_digest, "output_digest": output_digest}
    return Statement(_KEEP, parameters)


class CodeResultRepository:
    """Finds and removes results inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, *, org_id: str, request_digest: str) -> str | None:
        """The digest of the output that the same request gave."""
        parameters = {"org_id": org_id, "request_digest": request_digest, "days": KEPT_DAYS}
        found: str | None = (await self._session.execute(_FIND, parameters)).scalar_one_or_none()
        return found

    async def delete_old(self, *, limit: int) -> int:
        """Deletes at most `limit` results that nobody will be given any more, of all organisations."""
        return len((await self._session.execute(_DELETE_OLD, {"days": KEPT_DAYS, "limit": limit})).all())

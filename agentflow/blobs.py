"""Content by its digest, per tenant, in PostgreSQL: what workflow history holds references to."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import Json, canonical_json, sha256_hex
from agentflow.errors import BlobCorrupt, BlobNotFound
from agentflow.statements import Statement

JSON_MEDIA_TYPE = "application/json"

_PUT = text("""
    INSERT INTO blobs (org_id, digest, media_type, content, created_at)
    VALUES (:org_id, :digest, :media_type, :content, :now)
    ON CONFLICT (org_id, digest) DO NOTHING
""")
_GET = text("SELECT content FROM blobs WHERE org_id = :org_id AND digest = :digest")


def put_statement(*, org_id: str, digest: str, content: bytes, media_type: str, now: datetime) -> Statement:
    """Stores `content`, whose digest the caller knows, unless it is there."""
    parameters = {"org_id": org_id, "digest": digest, "media_type": media_type, "content": content, "now": now}
    return Statement(_PUT, parameters)


class BlobStore:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, *, org_id: str, content: bytes, media_type: str, now: datetime) -> str:
        """Stores `content` and returns its digest; content that is there already stays as it is."""
        digest = sha256_hex(content)
        statement = put_statement(org_id=org_id, digest=digest, content=content, media_type=media_type, now=now)
        await self._session.execute(statement.clause, statement.parameters)
        return digest

    async def put_json(self, *, org_id: str, value: Json, now: datetime) -> str:
        """Stores the canonical JSON of `value` and returns its digest."""
        return await self.put(org_id=org_id, content=canonical_json(value), media_type=JSON_MEDIA_TYPE, now=now)

    async def get(self, *, org_id: str, digest: str) -> bytes:
        """The content; raises BlobNotFound, or BlobCorrupt when it does not hash to `digest`."""
        content = (await self._session.execute(_GET, {"org_id": org_id, "digest": digest})).scalar_one_or_none()
        if content is None:
            raise BlobNotFound(digest=digest)
        if sha256_hex(content) != digest:
            raise BlobCorrupt(digest=digest)
        return bytes(content)

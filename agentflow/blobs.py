"""Content by its digest, per tenant, in PostgreSQL: what workflow history holds references to."""

from collections.abc import Collection
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
_GET = text("SELECT content, media_type FROM blobs WHERE org_id = :org_id AND digest = :digest")
_GET_MANY = text("SELECT digest, content FROM blobs WHERE org_id = :org_id AND digest = ANY(:digests)")


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
        _, content = await self.get_typed(org_id=org_id, digest=digest)
        return content

    async def get_typed(self, *, org_id: str, digest: str) -> tuple[str, bytes]:
        """The media type and the content; raises as `get`."""
        row = (await self._session.execute(_GET, {"org_id": org_id, "digest": digest})).one_or_none()
        if row is None:
            raise BlobNotFound(digest=digest)
        return row.media_type, _verified(digest, row.content)

    async def get_many(self, *, org_id: str, digests: Collection[str]) -> dict[str, bytes]:
        """Digest → content of all of `digests`; raises as `get` for the first that is not there."""
        rows = await self._session.execute(_GET_MANY, {"org_id": org_id, "digests": list(digests)})
        found = {row.digest: _verified(row.digest, row.content) for row in rows}
        for digest in digests:
            if digest not in found:
                raise BlobNotFound(digest=digest)
        return found


def _verified(digest: str, content: bytes) -> bytes:
    if sha256_hex(content) != digest:
        raise BlobCorrupt(digest=digest)
    return bytes(content)

"""Content by its digest, per tenant: what workflow history holds references to.

The table `blobs` tells what exists. Content stands in it or, when it is large and BLOB_STORE_URL is set, in an object
store: the object first, then the row, in the caller's transaction. A crash in between leaves an object that no row
names, which housekeeping removes.

Housekeeping deletes rows that nothing refers to and that nobody has asked to store for BLOB_GRACE_HOURS. Whoever stores
what is there already therefore renews it; what was renewed within the hour needs no second write, and no lock.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import text
from structlog.typing import FilteringBoundLogger

from agentflow.blob_objects import BlobObjects, open_blob_objects
from agentflow.database import Database
from agentflow.digest import Json, canonical_json, sha256_hex
from agentflow.errors import BlobCorrupt, BlobNotFound, BlobStoreUnavailable, ConfigurationError
from agentflow.settings import Settings
from agentflow.statements import Statement

_log: FilteringBoundLogger = structlog.get_logger(logger_name=__name__)

JSON_MEDIA_TYPE = "application/json"
#: What is hashed in a millisecond; hashing more in a thread lets go of the interpreter.
_SOON_HASHED_BYTES = 512 * 1024

_DIGEST = re.compile(r"[0-9a-f]{64}")

#: The insertion waits for a deletion that is under way, and takes its place; the renewal makes a deletion wait.
_PUT = text("""
    WITH renewed AS (
        UPDATE blobs SET touched_at = now()
        WHERE org_id = :org_id AND digest = :digest AND touched_at < now() - interval '1 hour'
    )
    INSERT INTO blobs (org_id, digest, media_type, size_bytes, content, location, created_at, touched_at)
    VALUES (:org_id, :digest, :media_type, :size_bytes, :content, :location, :now, now())
    ON CONFLICT (org_id, digest) DO NOTHING
""")
_RENEW = text("UPDATE blobs SET touched_at = now() WHERE org_id = :org_id AND digest = :digest RETURNING digest")
_HOLD = text("""
    INSERT INTO blob_holds (org_id, digest, run_id) VALUES (:org_id, :digest, :run_id) ON CONFLICT DO NOTHING
""")
_HOLD_KNOWN = text("""
    WITH renewed AS (
        UPDATE blobs SET touched_at = now()
        WHERE org_id = :org_id AND digest = ANY(:digests) AND touched_at < now() - interval '1 hour'
    )
    INSERT INTO blob_holds (org_id, digest, run_id)
    SELECT org_id, digest, :run_id FROM blobs WHERE org_id = :org_id AND digest = ANY(:digests)
    ON CONFLICT DO NOTHING
""")
#: What a run holds, for another run that takes its results over.
_HOLD_LIKE = text("""
    WITH held AS (SELECT digest FROM blob_holds WHERE org_id = :org_id AND run_id = :earlier_run_id),
    renewed AS (
        UPDATE blobs SET touched_at = now()
        WHERE org_id = :org_id AND digest IN (SELECT digest FROM held) AND touched_at < now() - interval '1 hour'
    )
    INSERT INTO blob_holds (org_id, digest, run_id) SELECT :org_id, digest, :run_id FROM held
    ON CONFLICT DO NOTHING
""")
_GET = text("""
    SELECT digest, media_type, content, location FROM blobs WHERE org_id = :org_id AND digest = ANY(:digests)
""")


def put_statement(
    *, org_id: str, digest: str, content: bytes, media_type: str, now: datetime, location: str | None = None
) -> Statement:
    """Stores `content`, whose digest the caller knows, unless it is there; only its row when it lies at `location`."""
    parameters = {
        "org_id": org_id,
        "digest": digest,
        "media_type": media_type,
        "size_bytes": len(content),
        "content": content if location is None else None,
        "location": location,
        "now": now,
    }
    return Statement(_PUT, parameters)


def hold_statement(*, org_id: str, value: Json, run_id: str) -> Statement | None:
    """Keeps the content whose digests stand inside `value` for as long as the run; None when there is none in it."""
    digests = sorted(set(digests_in(value)))
    return Statement(_HOLD_KNOWN, {"org_id": org_id, "digests": digests, "run_id": run_id}) if digests else None


def hold_like_statement(*, org_id: str, earlier_run_id: str, run_id: str) -> Statement:
    """Keeps for a run all that an earlier run holds."""
    return Statement(_HOLD_LIKE, {"org_id": org_id, "earlier_run_id": earlier_run_id, "run_id": run_id})


class BlobStore:
    """Reads and writes content. Each call is a transaction of its own, but for statements, which the caller sends."""

    def __init__(self, database: Database, objects: BlobObjects | None = None, *, inline_bytes: int = 0) -> None:
        self._database, self._objects, self._inline_bytes = database, objects, inline_bytes

    async def put_statement(
        self, *, org_id: str, digest: str, content: bytes, media_type: str, now: datetime
    ) -> Statement:
        """`put_statement` for content of any size: nothing is done here, unless it is to lie in the object store."""
        location = None
        if self._objects is not None and len(content) > self._inline_bytes and not await self._renew(org_id, digest):
            location = await self._write(self._objects, org_id, digest, content)
        return put_statement(
            org_id=org_id, digest=digest, content=content, media_type=media_type, now=now, location=location
        )

    async def put(
        self, *, org_id: str, content: bytes, media_type: str, now: datetime, held_by: str | None = None
    ) -> str:
        """Stores `content` and returns its digest; content that is there already stays as it is.

        `held_by` is the run that keeps it: for content whose digest no column is going to name.
        """
        digest = sha256_hex(content)
        statements = [
            await self.put_statement(org_id=org_id, digest=digest, content=content, media_type=media_type, now=now)
        ]
        if held_by is not None:
            statements.append(Statement(_HOLD, {"org_id": org_id, "digest": digest, "run_id": held_by}))
        await self._database.fly(statements)
        return digest

    async def put_json(self, *, org_id: str, value: Json, now: datetime, held_by: str | None = None) -> str:
        """Stores the canonical JSON of `value` and returns its digest."""
        content = canonical_json(value)
        return await self.put(org_id=org_id, content=content, media_type=JSON_MEDIA_TYPE, now=now, held_by=held_by)

    async def get(self, *, org_id: str, digest: str) -> bytes:
        """The content.

        Raises BlobNotFound, BlobCorrupt when it does not hash to `digest`, or BlobStoreUnavailable.
        """
        return (await self.get_all(org_id=org_id, digests=[digest]))[digest]

    async def get_all(self, *, org_id: str, digests: Iterable[str]) -> dict[str, bytes]:
        """The content of each digest; raises as `get`."""
        wanted = sorted(set(digests))
        found = await self._rows(org_id, wanted)
        # Outside the transaction: an object store that is slow holds no connection of the database's.
        return {digest: await self._content(found.get(digest), digest) for digest in wanted}

    async def get_typed(self, *, org_id: str, digest: str) -> tuple[str, bytes]:
        """The media type and the content; raises as `get`."""
        row = (await self._rows(org_id, [digest])).get(digest)
        content = await self._content(row, digest)
        return str(getattr(row, "media_type", "")), content

    async def _rows(self, org_id: str, digests: list[str]) -> dict[str, Any]:
        async with self._database.transaction() as session:
            rows = await session.execute(_GET, {"org_id": org_id, "digests": digests})
            return {row.digest: row for row in rows}

    async def _content(self, row: Any, digest: str) -> bytes:
        if row is None:
            raise BlobNotFound(digest=digest)
        if row.location is None:
            content = bytes(row.content)
        elif self._objects is None:
            raise ConfigurationError(
                f"the content {digest!r} lies in a blob store, and none is configured; set BLOB_STORE_URL as it was"
            )
        else:
            content = await self._objects.read(location=row.location, digest=digest)
        if await _digest_of(content) != digest:
            raise BlobCorrupt(digest=digest)
        return content

    async def _renew(self, org_id: str, digest: str) -> bool:
        """Whether the content is there already; then it stays for long enough to be referred to."""
        [rows] = await self._database.fly([Statement(_RENEW, {"org_id": org_id, "digest": digest})])
        return bool(rows)

    @staticmethod
    async def _write(objects: BlobObjects, org_id: str, digest: str, content: bytes) -> str | None:
        """Where the content lies; None when the store does not take it, and the database is to have it instead."""
        try:
            return await objects.write(org_id=org_id, digest=digest, content=content)
        except BlobStoreUnavailable as error:
            # What was computed, and perhaps paid for, is not lost because the store is away.
            _log.error("blob.kept_in_database", org_id=org_id, size_bytes=len(content), reason=str(error))
            return None


def open_blob_store(settings: Settings, database: Database) -> BlobStore:
    """The store of the settings; raises ConfigurationError."""
    return BlobStore(database, open_blob_objects(settings), inline_bytes=settings.blob_inline_bytes)


async def _digest_of(content: bytes) -> str:
    if len(content) <= _SOON_HASHED_BYTES:
        return sha256_hex(content)
    return await asyncio.to_thread(sha256_hex, content)


def digests_in(value: Json) -> Iterator[str]:
    """The digests that stand in `value`."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            if _DIGEST.fullmatch(part):
                yield part
        elif isinstance(part, Mapping):
            pending.extend(part.values())
        elif isinstance(part, list | tuple):
            pending.extend(part)

"""SQL of records: small JSON values of an organisation that its workflows keep; every statement names the organisation.

Values are JSON texts in which everything beyond ASCII is escaped, so that they come back as they were, half a surrogate
pair included.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_GET = text("""
    SELECT value, version FROM records WHERE org_id = :org_id AND collection = :collection AND key = :key
""")
_PUT = text("""
    INSERT INTO records AS held (org_id, collection, key, value, version, updated_at)
    VALUES (:org_id, :collection, :key, :value, 1, now())
    ON CONFLICT (org_id, collection, key) DO UPDATE
    SET value = excluded.value, version = held.version + 1, updated_at = now()
    RETURNING version
""")
_ADD = text("""
    INSERT INTO records (org_id, collection, key, value, version, updated_at)
    VALUES (:org_id, :collection, :key, :value, 1, now())
    ON CONFLICT (org_id, collection, key) DO NOTHING
    RETURNING version
""")
_REPLACE = text("""
    UPDATE records SET value = :value, version = version + 1, updated_at = now()
    WHERE org_id = :org_id AND collection = :collection AND key = :key AND version = :expected_version
    RETURNING version
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordKey:
    """Which record of an organisation."""

    org_id: str
    collection: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A value, and how often it was written."""

    value: Any = field(repr=False)
    version: int


class RecordRepository:
    """Reads and writes records inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, key: RecordKey) -> Record | None:
        """The record, if there is one."""
        row = (await self._session.execute(_GET, _named(key))).first()
        return None if row is None else Record(value=json.loads(row.value), version=row.version)

    async def put(self, key: RecordKey, value: Any) -> int:
        """Writes the record, whatever it was; its version."""
        version: int = (await self._session.execute(_PUT, _written(key, value))).scalar_one()
        return version

    async def add(self, key: RecordKey, value: Any) -> int | None:
        """Writes a record that is not there; None when it is."""
        version: int | None = (await self._session.execute(_ADD, _written(key, value))).scalar_one_or_none()
        return version

    async def replace(self, key: RecordKey, value: Any, *, expected_version: int) -> int | None:
        """Writes a record that has this version; None when it has another, or is not there."""
        parameters = {**_written(key, value), "expected_version": expected_version}
        version: int | None = (await self._session.execute(_REPLACE, parameters)).scalar_one_or_none()
        return version


def _named(key: RecordKey) -> dict[str, Any]:
    return {"org_id": key.org_id, "collection": key.collection, "key": key.key}


def _written(key: RecordKey, value: Any) -> dict[str, Any]:
    return {**_named(key), "value": json.dumps(value, allow_nan=False)}

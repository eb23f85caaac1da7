import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from agentflow.blobs import JSON_MEDIA_TYPE, BlobStore, put_statement
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.digest import canonical_json, json_digest, sha256_hex
from agentflow.errors import BlobCorrupt, BlobNotFound
from agentflow.ids import new_id
from agentflow.statements import execute_each

pytestmark = pytest.mark.integration

_ROWS = text("SELECT digest, media_type, created_at FROM blobs WHERE org_id = :org_id ORDER BY digest")


class Blobs:
    """The store as one organisation uses it."""

    def __init__(self, database: Database, org_id: str) -> None:
        self._database, self._store, self._org_id = database, BlobStore(database), org_id
        self.clock = SystemClock()

    async def put(self, content: bytes, media_type: str = "text/plain") -> str:
        return await self._store.put(org_id=self._org_id, content=content, media_type=media_type, now=self.clock.now())

    async def get(self, digest: str) -> bytes:
        return await self._store.get(org_id=self._org_id, digest=digest)

    async def rows(self) -> list[tuple[str, str]]:
        async with self._database.transaction() as session:
            rows = await session.execute(_ROWS, {"org_id": self._org_id})
            return [(row.digest, row.media_type) for row in rows]


@pytest.fixture
def blobs(database: Database, org_id: str) -> Blobs:
    return Blobs(database, org_id)


@pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)), b"\x00", b"x" * 2_000_000])
async def test_content_is_read_back_by_its_digest(blobs: Blobs, content: bytes) -> None:
    digest = await blobs.put(content)

    assert sha256_hex(content) == digest
    assert content == await blobs.get(digest)


async def test_the_same_content_is_one_row_and_stays_as_it_was(blobs: Blobs) -> None:
    first = await blobs.put(b"text", "text/plain")
    second = await blobs.put(b"text", "text/markdown")

    assert first == second
    assert [(first, "text/plain")] == await blobs.rows()


async def test_the_same_content_from_twenty_writers_at_once_is_one_row(blobs: Blobs) -> None:
    digests = await asyncio.gather(*(blobs.put(b"text") for _ in range(20)))

    assert {sha256_hex(b"text")} == set(digests)
    assert [(sha256_hex(b"text"), "text/plain")] == await blobs.rows()


async def test_json_is_stored_in_its_canonical_form(blobs: Blobs, database: Database, org_id: str) -> None:
    store = BlobStore(database)
    first = await store.put_json(org_id=org_id, value={"b": 1, "a": "é\x00"}, now=blobs.clock.now())
    second = await store.put_json(org_id=org_id, value={"a": "é\x00", "b": 1}, now=blobs.clock.now())

    assert (json_digest({"a": "é\x00", "b": 1}), first) == (first, second)
    assert [(first, JSON_MEDIA_TYPE)] == await blobs.rows()
    assert canonical_json({"a": "é\x00", "b": 1}) == await blobs.get(first)


async def test_one_organisations_content_is_invisible_to_another(blobs: Blobs, database: Database) -> None:
    strangers = Blobs(database, new_id("org"))
    digest = await blobs.put(b"text")

    with pytest.raises(BlobNotFound) as refusal:
        await strangers.get(digest)
    assert digest == refusal.value.digest
    assert [] == await strangers.rows()

    assert digest == await strangers.put(b"text")
    assert b"text" == await strangers.get(digest)


async def test_a_digest_that_nothing_has_is_not_found(blobs: Blobs) -> None:
    await blobs.put(b"text")

    for digest in (sha256_hex(b"other"), "", sha256_hex(b"text").upper()):
        with pytest.raises(BlobNotFound):
            await blobs.get(digest)


@pytest.mark.parametrize("damaged", [b"", b"test", b"text\x00"])
async def test_content_that_no_longer_has_its_digest_is_detected(
    blobs: Blobs, database: Database, org_id: str, damaged: bytes
) -> None:
    digest = await blobs.put(b"text")
    intact = await blobs.put(b"other")
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE blobs SET content = :content WHERE org_id = :org_id AND digest = :digest"),
            {"content": damaged, "org_id": org_id, "digest": digest},
        )

    with pytest.raises(BlobCorrupt) as refusal:
        await blobs.get(digest)

    assert digest == refusal.value.digest
    assert b"other" == await blobs.get(intact)


async def test_content_of_a_transaction_that_is_rolled_back_is_not_stored(
    blobs: Blobs, database: Database, org_id: str
) -> None:
    digest = sha256_hex(b"text")
    stored = put_statement(
        org_id=org_id, digest=digest, content=b"text", media_type="text/plain", now=blobs.clock.now()
    )
    async with database.transaction() as session:
        await execute_each(session, [stored])
        await session.rollback()

    with pytest.raises(BlobNotFound):
        await blobs.get(digest)


async def test_content_keeps_the_instant_at_which_it_was_first_stored(
    blobs: Blobs, database: Database, org_id: str
) -> None:
    first = blobs.clock.now()
    for now in (first, first + timedelta(hours=1)):
        await BlobStore(database).put(org_id=org_id, content=b"text", media_type="text/plain", now=now)

    async with database.transaction() as session:
        assert [first] == [row.created_at for row in await session.execute(_ROWS, {"org_id": org_id})]

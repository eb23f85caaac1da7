"""Large content in a folder, and in a bucket of a real S3 server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from agentflow.blob_objects import BlobObjects, StoredObject, open_blob_objects
from agentflow.blobs import BlobStore, open_blob_store
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.digest import sha256_hex
from agentflow.errors import BlobCorrupt, BlobNotFound, BlobStoreUnavailable, ConfigurationError
from agentflow.ids import new_id
from agentflow.settings import Settings
from cli.embedded.ports import free_port
from tests.seaweed import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedServer

pytestmark = pytest.mark.integration

SMALL, LARGE = b"s" * 100, bytes(range(256)) * 20
_ROWS = text("SELECT content, location, size_bytes FROM blobs WHERE org_id = :org_id")


def s3_settings(server: SeaweedServer, **overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "blob_store_url": f"s3://agentflow/{new_id('prefix')}",
        "blob_inline_bytes": 1000,
        "blob_s3_endpoint": server.endpoint,
        "blob_s3_region": "us-east-1",
        "blob_s3_access_key_id": ACCESS_KEY_ID,
        "blob_s3_secret_access_key": SECRET_ACCESS_KEY,
        **overrides,
    }
    return Settings(**values)


@pytest.fixture(params=["file", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "file":
        return Settings(blob_store_url=(tmp_path / "large blobs").as_uri(), blob_inline_bytes=1000)
    return s3_settings(request.getfixturevalue("s3_server"))


@pytest.fixture
def objects(settings: Settings) -> BlobObjects:
    found = open_blob_objects(settings)
    assert found is not None
    return found


@pytest.fixture
def store(settings: Settings, database: Database) -> BlobStore:
    return open_blob_store(settings, database)


async def put(store: BlobStore, org_id: str, content: bytes) -> str:
    return await store.put(
        org_id=org_id, content=content, media_type="application/octet-stream", now=SystemClock().now()
    )


async def rows(database: Database, org_id: str) -> list[Any]:
    async with database.transaction() as session:
        return list((await session.execute(_ROWS, {"org_id": org_id})).all())


async def listed(objects: BlobObjects) -> list[StoredObject]:
    return [stored async for page in objects.pages() for stored in page]


async def test_large_content_lies_in_the_store_and_is_read_back(
    store: BlobStore, objects: BlobObjects, database: Database, org_id: str
) -> None:
    digest = await put(store, org_id, LARGE)

    assert LARGE == await store.get(org_id=org_id, digest=digest)
    [row] = await rows(database, org_id)
    assert (None, len(LARGE)) == (row.content, row.size_bytes)
    assert [(row.location, org_id, digest)] == [
        (stored.location, stored.org_id, stored.digest) for stored in await listed(objects)
    ]


async def test_small_content_stays_in_the_database(
    store: BlobStore, objects: BlobObjects, database: Database, org_id: str
) -> None:
    digest = await put(store, org_id, SMALL)

    assert SMALL == await store.get(org_id=org_id, digest=digest)
    assert [(SMALL, None)] == [(row.content, row.location) for row in await rows(database, org_id)]
    assert [] == await listed(objects)


async def test_content_that_is_there_is_not_written_again(store: BlobStore, objects: BlobObjects, org_id: str) -> None:
    await put(store, org_id, LARGE)
    await put(store, org_id, LARGE)

    assert 1 == len(await listed(objects))


async def test_of_writers_at_once_one_row_remains_and_it_can_be_read(
    store: BlobStore, database: Database, org_id: str
) -> None:
    digests = await asyncio.gather(*(put(store, org_id, LARGE) for _ in range(8)))

    assert 1 == len(await rows(database, org_id))
    assert LARGE == await store.get(org_id=org_id, digest=digests[0])


async def test_an_object_that_is_gone_is_not_found(store: BlobStore, objects: BlobObjects, org_id: str) -> None:
    digest = await put(store, org_id, LARGE)
    await objects.delete([stored.location for stored in await listed(objects)])

    with pytest.raises(BlobNotFound) as refusal:
        await store.get(org_id=org_id, digest=digest)

    assert digest == refusal.value.digest


async def test_an_object_that_is_another_is_detected(
    store: BlobStore, objects: BlobObjects, database: Database, org_id: str
) -> None:
    digest = await put(store, org_id, LARGE)
    damaged = await objects.write(org_id=org_id, digest=digest, content=LARGE[:-1])
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE blobs SET location = :location WHERE org_id = :org_id"),
            {"location": damaged, "org_id": org_id},
        )

    with pytest.raises(BlobCorrupt):
        await store.get(org_id=org_id, digest=digest)


async def test_what_is_gone_already_can_be_deleted(objects: BlobObjects, org_id: str) -> None:
    location = await objects.write(org_id=org_id, digest=sha256_hex(LARGE), content=LARGE)

    await objects.delete([location])
    await objects.delete([location])

    assert [] == await listed(objects)


async def test_files_that_are_not_ours_are_not_listed(tmp_path: Path) -> None:
    objects = open_blob_objects(Settings(blob_store_url=tmp_path.as_uri()))
    assert objects is not None
    (tmp_path / "org" / "ab").mkdir(parents=True)
    (tmp_path / "org" / "ab" / "notes.txt").write_text("mine")

    assert [] == await listed(objects)


async def test_a_store_that_is_away_costs_room_in_the_database_and_never_content(
    s3_server: SeaweedServer, database: Database, org_id: str
) -> None:
    away = s3_settings(s3_server, blob_s3_endpoint=f"http://127.0.0.1:{free_port()}")

    digest = await put(open_blob_store(away, database), org_id, LARGE)

    assert [LARGE] == [row.content for row in await rows(database, org_id)]
    assert LARGE == await open_blob_store(away, database).get(org_id=org_id, digest=digest)


async def test_a_store_that_is_away_is_named_when_its_content_is_wanted(
    s3_server: SeaweedServer, database: Database, org_id: str
) -> None:
    there = s3_settings(s3_server)
    away = there.model_copy(update={"blob_s3_endpoint": f"http://127.0.0.1:{free_port()}"})
    digest = await put(open_blob_store(there, database), org_id, LARGE)

    with pytest.raises(BlobStoreUnavailable, match="s3://agentflow/prefix_") as refusal:
        await open_blob_store(away, database).get(org_id=org_id, digest=digest)

    assert SECRET_ACCESS_KEY not in str(refusal.value)
    assert refusal.value.__cause__ is None


async def test_content_in_a_store_that_is_no_longer_configured_is_told(
    store: BlobStore, database: Database, org_id: str
) -> None:
    digest = await put(store, org_id, LARGE)

    with pytest.raises(ConfigurationError, match="set BLOB_STORE_URL as it was"):
        await BlobStore(database).get(org_id=org_id, digest=digest)


@pytest.mark.parametrize("url", ["ftp://host/path", "s3:///prefix", "/var/lib/blobs", "file:///proc/no/such/folder"])
def test_a_url_that_cannot_be_a_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="BLOB_STORE_URL names"):
        open_blob_objects(Settings(blob_store_url=url))

"""Of all workers one does each kind of work, when it is due."""

from tests.workflows.platform import Platform
from workflows.housekeeper import open_housekeeper


async def put_old_blob(platform: Platform, org_id: str, content: bytes) -> None:
    resources = platform.resources
    await resources.blobs.put(org_id=org_id, content=content, media_type="text/plain", now=resources.clock.now())
    await platform.rows(
        "UPDATE blobs SET touched_at = now() - interval '2 days' WHERE org_id = :org_id RETURNING 1", org_id=org_id
    )


async def blob_count(platform: Platform, org_id: str) -> int:
    return len(await platform.rows("SELECT digest FROM blobs WHERE org_id = :org_id", org_id=org_id))


async def test_what_is_due_is_done_once(platform: Platform, org_id: str) -> None:
    await platform.rows("DELETE FROM housekeeping_turns RETURNING 1")
    await put_old_blob(platform, org_id, b"first")
    await open_housekeeper(platform.resources).look()
    assert 0 == await blob_count(platform, org_id)

    await put_old_blob(platform, org_id, b"second")
    await open_housekeeper(platform.resources).look()
    assert 1 == await blob_count(platform, org_id)

"""Of all workers one does each kind of work, when it is due."""

from tests.workflows.documents import dag, projection
from tests.workflows.platform import Platform, succeeded
from workflows.housekeeper import open_housekeeper


async def put_old_blob(platform: Platform, org_id: str, content: bytes) -> None:
    resources = platform.resources
    await resources.blobs.put(org_id=org_id, content=content, media_type="text/plain", now=resources.clock.now())
    await platform.rows(
        "UPDATE blobs SET touched_at = now() - interval '2 days' WHERE org_id = :org_id RETURNING 1", org_id=org_id
    )


async def blob_count(platform: Platform, org_id: str) -> int:
    return len(await platform.rows("SELECT digest FROM blobs WHERE org_id = :org_id", org_id=org_id))


async def held_by(platform: Platform, run_id: str) -> list[str]:
    rows = await platform.rows("SELECT digest FROM blob_holds WHERE run_id = :run_id", run_id=run_id)
    return [row["digest"] for row in rows]


async def test_a_run_holds_the_documents_that_its_tools_stored_and_those_that_it_was_given(
    platform: Platform, org_id: str
) -> None:
    tool_args = {"bucket": "documents", "key": "letter.txt", "as": "document"}
    fetch = {"id": "fetch", "type": "tool", "config": {"tool_name": "s3.fetch", "tool_args": tool_args}}
    fetched = dag("fetched", fetch, outputs={"document": "fetch.output.document"})
    given = dag("given", projection("only", {"v": "inputs.file"}), outputs={"v": "only.output.v"})

    first = succeeded(await platform.run(org_id, fetched))
    assert first.outputs is not None
    digest = first.outputs["document"]
    second = succeeded(await platform.run(org_id, given, {"file": digest, "other": "f" * 64}))

    assert [digest] == await held_by(platform, first.run.run_id)
    assert [digest] == await held_by(platform, second.run.run_id)


async def test_what_is_due_is_done_once(platform: Platform, org_id: str) -> None:
    await platform.rows("DELETE FROM housekeeping_turns RETURNING 1")
    await put_old_blob(platform, org_id, b"first")
    await open_housekeeper(platform.resources).look()
    assert 0 == await blob_count(platform, org_id)

    await put_old_blob(platform, org_id, b"second")
    await open_housekeeper(platform.resources).look()
    assert 1 == await blob_count(platform, org_id)

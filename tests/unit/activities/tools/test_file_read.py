import os
from pathlib import Path
from typing import Any

import pytest

from activities.errors import DocumentNotFound, DocumentTooLarge, LocationDenied
from activities.tools.file_read import FILE_READ
from agentflow.settings import Settings
from tests.unit.activities.tools.bucket_context import BucketContext


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "org_test" / "deep").mkdir(parents=True)
    (root / "org_test" / "deep" / "a.txt").write_text("inside")
    (root / "org_other").mkdir()
    (root / "org_other" / "b.txt").write_text("theirs")
    (tmp_path / "outside.txt").write_text("outside")
    return root


async def read(root: Path | str | None, path: str, **arguments: Any) -> tuple[Any, BucketContext]:
    context = BucketContext({})
    context.settings = Settings(files_directory=str(root) if root is not None else None, max_document_bytes=100)
    return await FILE_READ.call(context, {"path": path, **arguments}), context


async def test_a_file_is_read_as_text_or_kept_as_a_document(root: Path) -> None:
    text, _ = await read(root / "{org_id}", "deep/a.txt")
    document, context = await read(root, "org_test/deep/a.txt", **{"as": "document"})

    assert "inside" == text
    assert ("text/plain", "a.txt", 6) == (document["media_type"], document["name"], document["size_bytes"])
    assert (b"inside", "text/plain") == context.stored[document["document"]]


@pytest.mark.parametrize(
    "path",
    ["../org_other/b.txt", "/etc/passwd", "deep/../../org_other/b.txt", "deep//a.txt", ".", "deep/\x00", "deep/"],
)
async def test_a_path_that_climbs_is_refused(root: Path, path: str) -> None:
    with pytest.raises(LocationDenied):
        await read(root / "{org_id}", path)


async def test_no_symbolic_link_is_followed_wherever_it_leads(root: Path) -> None:
    folder = root / "org_test"
    (folder / "out.txt").symlink_to(root.parent / "outside.txt")
    (folder / "in.txt").symlink_to(folder / "deep" / "a.txt")
    (folder / "up").symlink_to(root.parent)
    (folder / "ring").symlink_to(folder / "ring")

    for path in ("out.txt", "in.txt", "up/outside.txt", "ring", "ring/x"):
        with pytest.raises(LocationDenied, match="symbolic link"):
            await read(folder, path)


async def test_what_is_no_plain_file_is_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "pipe")

    for path in ("pipe", "org_test"):
        with pytest.raises(LocationDenied, match="plain file"):
            await read(root, path)


async def test_what_is_not_there_or_too_large_or_not_configured_is_told(root: Path) -> None:
    (root / "large.txt").write_text("x" * 101)

    with pytest.raises(DocumentTooLarge):
        await read(root, "large.txt")
    for path in ("nothing.txt", "nothing/a.txt", "large.txt/a"):
        with pytest.raises(DocumentNotFound):
            await read(root, path)
    with pytest.raises(LocationDenied, match="FILES_DIRECTORY"):
        await read(None, "a.txt")

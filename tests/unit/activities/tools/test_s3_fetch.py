from pathlib import Path
from typing import Any

import pytest

from activities.errors import DocumentNotFound, DocumentTooLarge, DocumentUnreadable, LocationDenied, ToolFailed
from activities.tools.document_text import PDF
from activities.tools.s3_fetch import S3_FETCH
from agentflow.digest import sha256_hex
from agentflow.settings import Settings
from scl.errors import SchemaViolation
from scl.schema_validation import validate
from tests.unit.activities.tools.bucket_context import BucketContext
from tests.unit.activities.tools.pdf_files import SAMPLE_PDF


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "notes.txt").write_text("naïve notes", encoding="utf-8")
    (folder / "two words.txt").write_text("spaced", encoding="utf-8")
    (folder / "sample.pdf").write_bytes(SAMPLE_PDF.read_bytes())
    return folder


async def fetch(context: BucketContext, **arguments: Any) -> Any:
    schema: Any = S3_FETCH.signature.input_schema
    validate(arguments, schema, where="input")
    return await S3_FETCH.call(context, arguments)


async def test_a_document_comes_as_text(bucket: Path) -> None:
    assert "naïve notes" == await fetch(BucketContext({"d": bucket}), bucket="d", key="notes.txt")


async def test_a_pdf_comes_as_its_text(bucket: Path) -> None:
    text = await fetch(BucketContext({"d": bucket}), bucket="d", key="sample.pdf", **{"as": "text"})

    assert text.startswith("Vendor Review")


async def test_a_url_below_a_bucket_is_fetched_like_its_key(bucket: Path) -> None:
    assert "spaced" == await fetch(BucketContext({"d": bucket}), url=f"{bucket.as_uri()}/two%20words.txt")
    assert "spaced" == await fetch(BucketContext({"d": bucket}), bucket="d", key="two words.txt")


async def test_a_document_comes_as_a_reference_to_its_very_bytes(bucket: Path) -> None:
    context = BucketContext({"d": bucket})
    content = SAMPLE_PDF.read_bytes()

    found = await fetch(context, bucket="d", key="sample.pdf", **{"as": "document"})

    expected = {
        "document": sha256_hex(content),
        "media_type": PDF,
        "name": "sample.pdf",
        "size_bytes": len(content),
    }
    assert expected == found
    assert {sha256_hex(content): (content, PDF)} == context.stored


async def test_a_document_of_the_largest_size_is_fetched_and_one_byte_more_is_refused(bucket: Path) -> None:
    size = (bucket / "notes.txt").stat().st_size

    assert await fetch(BucketContext({"d": bucket}, max_document_bytes=size), bucket="d", key="notes.txt")
    with pytest.raises(DocumentTooLarge) as refusal:
        await fetch(BucketContext({"d": bucket}, max_document_bytes=size - 1), bucket="d", key="notes.txt")

    assert (size, size - 1) == (refusal.value.size_bytes, refusal.value.limit_bytes)


@pytest.mark.parametrize("key", ["missing.txt", "folder", "missing/notes.txt"])
async def test_what_is_not_there_is_not_found(bucket: Path, key: str) -> None:
    (bucket / "folder").mkdir()

    with pytest.raises(DocumentNotFound) as refusal:
        await fetch(BucketContext({"d": bucket}), bucket="d", key=key)

    assert f"d/{key}" == refusal.value.location
    # Where the bucket is is the operator's matter.
    assert str(bucket) not in str(refusal.value)


async def test_nothing_is_read_through_a_link_out_of_the_bucket(bucket: Path) -> None:
    (bucket / "link.txt").symlink_to("../secret.txt")
    context = BucketContext({"d": bucket})

    for arguments in (
        {"bucket": "d", "key": "link.txt"},
        {"bucket": "d", "key": "../secret.txt"},
        {"url": f"{bucket.as_uri()}/%2e%2e/secret.txt"},
        {"url": f"{bucket.parent.as_uri()}/secret.txt"},
        {"bucket": "elsewhere", "key": "notes.txt"},
    ):
        with pytest.raises(LocationDenied):
            await fetch(context, **arguments)


async def test_percent_encoded_dots_in_a_key_do_not_climb_out(bucket: Path) -> None:
    with pytest.raises(DocumentNotFound):
        await fetch(BucketContext({"d": bucket}), bucket="d", key="%2e%2e/secret.txt")


async def test_a_binary_document_has_no_text_but_can_be_referred_to(bucket: Path) -> None:
    (bucket / "blob").write_bytes(b"\x00\x01\x02")
    context = BucketContext({"d": bucket})

    with pytest.raises(DocumentUnreadable):
        await fetch(context, bucket="d", key="blob")
    assert 3 == (await fetch(context, bucket="d", key="blob", **{"as": "document"}))["size_bytes"]


@pytest.mark.parametrize("prefix", ["ftp://nobody.invalid/documents", "file:///no/such/folder"])
async def test_a_bucket_that_no_store_can_serve_is_a_failed_tool(prefix: str) -> None:
    context = BucketContext({})
    context.settings = Settings(buckets={"d": prefix})

    with pytest.raises(ToolFailed) as failure:
        await fetch(context, bucket="d", key="a.txt")

    assert "s3.fetch" == failure.value.tool
    assert "d/a.txt" in failure.value.reason
    assert prefix not in str(failure.value)
    assert failure.value.__cause__ is None


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"bucket": "d"},
        {"key": "a.txt"},
        {"bucket": "d", "key": "a.txt", "url": "s3://d/a.txt"},
        {"bucket": "d", "key": ""},
        {"url": "s3://d/a.txt", "as": "bytes"},
        {"url": "s3://d/a.txt", "more": 1},
    ],
)
async def test_arguments_that_name_no_single_document_do_not_pass_the_schema(arguments: dict[str, Any]) -> None:
    with pytest.raises(SchemaViolation):
        await fetch(BucketContext({}), **arguments)

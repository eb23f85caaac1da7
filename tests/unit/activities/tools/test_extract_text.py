from pathlib import Path
from typing import Any

import pytest

from activities.errors import DocumentUnreadable
from activities.tools.extract_text import EXTRACT_TEXT
from activities.tools.s3_fetch import S3_FETCH
from agentflow.errors import BlobNotFound
from scl.schema_validation import validate
from tests.unit.activities.tools.bucket_context import BucketContext
from tests.unit.activities.tools.pdf_files import page_saying


async def test_what_s3_fetch_gives_as_a_document_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(page_saying("From the store"))
    context = BucketContext({"d": tmp_path})
    schema: Any = EXTRACT_TEXT.signature.input_schema

    document = await S3_FETCH.call(context, {"bucket": "d", "key": "a.pdf", "as": "document"})
    validate({"document": document}, schema, where="input")

    assert {"text": "From the store", "page_count": 1} == await EXTRACT_TEXT.call(context, {"document": document})


async def test_the_media_type_of_the_reference_says_how_the_bytes_are_read() -> None:
    context = BucketContext({})
    digest = await context.store(content=b"%PDF- in a text", media_type="text/plain")
    document = {"document": digest, "media_type": "text/plain", "name": "a.txt"}

    assert {"text": "%PDF- in a text", "page_count": 1} == await EXTRACT_TEXT.call(context, {"document": document})
    with pytest.raises(DocumentUnreadable):
        await EXTRACT_TEXT.call(context, {"document": {**document, "media_type": "application/pdf"}})


async def test_a_reference_to_nothing_is_not_found() -> None:
    document = {"document": "0" * 64, "media_type": "text/plain", "name": "a.txt"}

    with pytest.raises(BlobNotFound):
        await EXTRACT_TEXT.call(BucketContext({}), {"document": document})

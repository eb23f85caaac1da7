"""What becomes of the bodies of answers: read as they are meant, and kept where they cannot be read."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.errors import DocumentTooLarge, DocumentUnreadable, EffectUncertain, RequestRefused, StepError
from activities.retry_posture import to_application_error
from activities.tools.extract_text import EXTRACT_TEXT
from activities.tools.http_request import HTTP_REQUEST
from agentflow.settings import Settings
from scl.schema_validation import validate
from tests.unit.activities.tools.bucket_context import BucketContext
from tests.unit.activities.tools.http_service import HttpService, answer

LATIN_PAGE = "<p>Die Fähre zwischen Nørre und Süd</p>"


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


@pytest.fixture
def context(service: HttpService) -> BucketContext:
    made = BucketContext({})
    made.settings = Settings(http_allowed_hosts=(f"127.0.0.1:{service.port}",), max_document_bytes=1_000_000)
    return made


async def ask(service: HttpService, context: BucketContext, said: bytes, **arguments: Any) -> Any:
    service.answers = [said]
    wish = {"url": f"{service.url}/path?q=1", **arguments}
    validate(wish, dict(HTTP_REQUEST.signature.input_schema or {}), where="input")
    output = await HTTP_REQUEST.call(context, wish)
    validate(output, dict(HTTP_REQUEST.signature.output_schema or {}), where="output")
    return output


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [
        ("latin-1", "text/html; charset=ISO-8859-1"),
        ("cp1252", 'text/html;charset="windows-1252"'),
        ("utf-8", "text/html"),
        ("latin-1", "text/html; charset=utf-8"),
        ("utf-16", "text/html"),
    ],
)
async def test_a_page_is_read_in_its_character_set(
    service: HttpService, context: BucketContext, encoding: str, content_type: str
) -> None:
    output = await ask(service, context, answer(200, LATIN_PAGE.encode(encoding), content_type=content_type))

    assert LATIN_PAGE == output["text"]
    assert "document" not in output


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("gzip", gzip.compress(b'{"zip', mtime=0)),
        ("GZIP", gzip.compress(b'{"zip', mtime=0) + gzip.compress(b'ped": 1}', mtime=0)),
        ("deflate", zlib.compress(b'{"zip')),
        ("deflate", zlib.compress(b'{"zip')[2:-4]),
        ("gzip, deflate", zlib.compress(gzip.compress(b'{"zip', mtime=0))),
    ],
)
async def test_a_body_is_decompressed(
    service: HttpService, context: BucketContext, encoding: str, compressed: bytes
) -> None:
    said = answer(200, compressed, content_encoding=encoding, content_type="text/plain")

    output = await ask(service, context, said)

    assert output["text"].startswith('{"zip')
    assert not {"content-encoding", "content-length"} & set(output["headers"])


@pytest.mark.parametrize(
    ("encoding", "body", "problem"),
    [
        ("gzip", gzip.compress(b"x" * 5_000, mtime=0)[:-20], "cut off"),
        ("gzip", b"not zipped", "not what its content encoding"),
        ("br", b"\x0b\x02\x80", "'br' is not read"),
        ("gzip, gzip, gzip, gzip", b"x", "more than 3 times"),
    ],
)
async def test_what_cannot_be_decompressed_fails_a_read_and_is_kept_of_what_was_done(
    service: HttpService, context: BucketContext, encoding: str, body: bytes, problem: str
) -> None:
    said = answer(200, body, content_encoding=encoding, content_type="text/plain")

    with pytest.raises(DocumentUnreadable, match=problem):
        await ask(service, context, said)
    done = await ask(service, context, said, method="POST")

    assert problem in done["problem"]
    assert body == context.stored[done["document"]["document"]][0]


async def test_a_bomb_is_not_unpacked_beyond_the_limit(service: HttpService, context: BucketContext) -> None:
    bomb = answer(200, gzip.compress(gzip.compress(b"\x00" * 200_000_000, 1), 1), content_encoding="gzip, gzip")

    with pytest.raises(DocumentTooLarge, match="1,000,000 are allowed"):
        await ask(service, context, bomb)
    assert (await ask(service, context, bomb, method="POST"))["truncated"]


async def test_a_long_text_stays_and_is_a_document_too(service: HttpService, context: BucketContext) -> None:
    long = b"<p>word</p>" * 30_000

    output = await ask(service, context, answer(200, long, content_type="text/html; charset=utf-8"))
    read = await EXTRACT_TEXT.call(context, {"document": output["document"]})

    assert (330_000, "text/html", "path") == (
        len(output["text"]),
        output["document"]["media_type"],
        output["document"]["name"],
    )
    assert 30_000 == read["text"].count("word")


async def test_a_page_in_another_charset_is_read_from_its_document(
    service: HttpService, context: BucketContext
) -> None:
    said = answer(200, LATIN_PAGE.encode("latin-1"), content_type="text/html; charset=ISO-8859-1")

    output = await ask(service, context, said, **{"as": "document"})
    read = await EXTRACT_TEXT.call(context, {"document": output["document"]})

    assert "Die Fähre zwischen Nørre und Süd" == read["text"]


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"id": 12345678901234567890123}', {"id": 12345678901234567890123}),
        (b'{"a": "\\ud83d \\u0000"}', {"a": "\ufffd \ufffd"}),
        ('{"a": "Süd"}'.encode("utf-16"), {"a": "Süd"}),
        (b"[" + b"1," * 200_000 + b"1]", [1] * 200_001),
    ],
)
async def test_json_is_read_whatever_it_is_wrapped_in(
    service: HttpService, context: BucketContext, body: bytes, value: Any
) -> None:
    said = answer(200, body, content_type="application/json")

    assert value == (await ask(service, context, said))["json"]
    assert value == (await ask(service, context, said, **{"as": "json"}))["json"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "there is nothing"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1e999}', "too large for a double"),
        (b"<html>try later</html>", "expecting value"),
        (b'{"a":1}\n{"a":2}\n', "document.json_lines"),
        (b"[" * 100_000, "nested deeper"),
    ],
)
async def test_what_is_no_json_is_text_unless_json_is_wanted(
    service: HttpService, context: BucketContext, body: bytes, reason: str
) -> None:
    said = answer(200, body, content_type="application/json")

    assert body.decode() == (await ask(service, context, said))["text"]
    with pytest.raises(DocumentUnreadable, match=reason):
        await ask(service, context, said, **{"as": "json"})
    done = await ask(service, context, said, method="POST", **{"as": "json"})

    assert reason in done["problem"]
    assert body == context.stored[done["document"]["document"]][0]


async def test_a_picture_is_a_document(service: HttpService, context: BucketContext) -> None:
    output = await ask(service, context, answer(200, b"\x89PNG\x00\xff", content_type="image/png"))

    assert "image/png" == output["document"]["media_type"]
    assert "text" not in output


async def test_an_answer_without_a_body_says_so(service: HttpService, context: BucketContext) -> None:
    assert not (await ask(service, context, answer(204)))["text"]


@pytest.mark.parametrize(
    ("method", "status", "error"),
    [("GET", 422, RequestRefused), ("POST", 404, RequestRefused), ("POST", 500, EffectUncertain)],
)
async def test_what_an_unexpected_answer_says_is_shown_and_stays_out_of_history(
    service: HttpService, context: BucketContext, method: str, status: int, error: type[StepError]
) -> None:
    body = json.dumps({"detail": "the amount must be a text " + "x" * 9_000}).encode()
    zipped = answer(status, gzip.compress(body), content_encoding="gzip", content_type="application/json")

    with pytest.raises(error) as refusal:
        await ask(service, context, zipped, method=method)

    assert "the amount must be a text" in str(refusal.value)
    assert len(str(refusal.value)) < 2_000
    assert "amount" not in str(to_application_error(refusal.value))
    assert str(status) in to_application_error(refusal.value).message

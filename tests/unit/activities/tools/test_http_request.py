import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from activities.errors import (
    DocumentTooLarge,
    EffectUncertain,
    LocationDenied,
    RequestRefused,
    ServerBusy,
    ToolFailed,
)
from activities.tools.http_request import HTTP_REQUEST
from agentflow.settings import Settings, ToolSecret
from runs.effects import EffectClass
from scl.errors import SchemaViolation
from scl.schema_validation import validate
from tests.unit.activities.tools.bucket_context import BucketContext
from tests.unit.activities.tools.http_service import HttpService, answer


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


def context(service: HttpService, **settings: Any) -> BucketContext:
    made = BucketContext({})
    values = {"http_allowed_hosts": (f"127.0.0.1:{service.port}",), "max_document_bytes": 1_000_000, **settings}
    made.settings = Settings(**values)
    return made


async def ask(service: HttpService, settings: dict[str, Any] | None = None, **arguments: Any) -> Any:
    wish = {"url": f"{service.url}/path?q=1", **arguments}
    validate(wish, dict(HTTP_REQUEST.signature.input_schema or {}), where="input")
    output = await HTTP_REQUEST.call(context(service, **(settings or {})), wish)
    validate(output, dict(HTTP_REQUEST.signature.output_schema or {}), where="output")
    return output


async def test_json_is_sent_and_taken_with_the_headers_that_were_given(service: HttpService) -> None:
    said = answer(201, b'{"id": 7}', content_type="application/json", set_cookie="session=secret", x_more="yes")
    service.answers = [said]

    output = await ask(service, method="POST", json={"b": 1, "a": [None]}, headers={"X-Trace": "t"})

    (asked,) = service.asked
    assert ("POST", "/path?q=1", b'{"a":[null],"b":1}') == (asked.method, asked.path, asked.body)
    assert ("t", "application/json", f"127.0.0.1:{service.port}") == (
        asked.headers["x-trace"],
        asked.headers["content-type"],
        asked.headers["host"],
    )
    assert (201, {"id": 7}, "yes") == (output["status"], output["json"], output["headers"]["x-more"])
    assert "secret" not in json.dumps(output)


@pytest.mark.parametrize(
    ("arguments", "effect", "has_key"),
    [
        ({}, EffectClass.PURE, False),
        ({"method": "HEAD"}, EffectClass.PURE, False),
        ({"method": "PUT"}, EffectClass.IDEMPOTENT, True),
        ({"method": "DELETE"}, EffectClass.IDEMPOTENT, True),
        ({"method": "POST"}, EffectClass.AT_MOST_ONCE, False),
        ({"method": "PATCH", "idempotent": False}, EffectClass.AT_MOST_ONCE, False),
        ({"method": "PATCH", "idempotent": True}, EffectClass.IDEMPOTENT, True),
    ],
)
async def test_the_method_says_what_a_second_request_would_do(
    service: HttpService, arguments: dict[str, Any], effect: EffectClass, *, has_key: bool
) -> None:
    await ask(service, **arguments)

    assert effect is HTTP_REQUEST.effect_of(arguments)
    assert ("agentflow-test" if has_key else None) == service.asked[0].headers.get("idempotency-key")


@pytest.mark.parametrize(
    ("method", "status", "headers", "error"),
    [
        ("GET", 500, {}, ToolFailed),
        ("PUT", 502, {}, EffectUncertain),
        ("POST", 500, {}, EffectUncertain),
        ("POST", 503, {}, EffectUncertain),
        ("POST", 503, {"retry_after": "7"}, ServerBusy),
        ("POST", 429, {"retry_after": "7"}, ServerBusy),
        ("GET", 429, {}, ServerBusy),
        ("POST", 404, {}, RequestRefused),
        ("GET", 404, {}, RequestRefused),
        ("GET", 304, {}, RequestRefused),
    ],
)
async def test_a_status_says_what_became_of_the_effect(
    service: HttpService, method: str, status: int, headers: dict[str, str], error: type[Exception]
) -> None:
    service.answers = [answer(status, b"", **headers)]

    with pytest.raises(error) as raised:
        await ask(service, method=method)

    assert str(status) in str(raised.value)
    assert (7.0 if headers else None) == getattr(raised.value, "retry_after_seconds", None)


async def test_a_time_to_come_again_may_be_a_date(service: HttpService) -> None:
    service.answers = [answer(429, retry_after=format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))]

    with pytest.raises(ServerBusy) as busy:
        await ask(service)

    assert 60 < float(busy.value.retry_after_seconds or 0) <= 90


async def test_expected_statuses_are_answers_and_a_success_that_is_not_expected_is_uncertain(
    service: HttpService,
) -> None:
    service.answers = [answer(404), answer(200), answer(303, location="/elsewhere")]

    assert 404 == (await ask(service, method="DELETE", expected_statuses=[204, 404]))["status"]
    with pytest.raises(EffectUncertain):
        await ask(service, method="POST", expected_statuses=[201])
    assert 303 == (await ask(service, method="POST"))["status"]
    assert 3 == len(service.asked)


@pytest.mark.parametrize(
    ("method", "error"), [("GET", ToolFailed), ("PUT", EffectUncertain), ("POST", EffectUncertain)]
)
@pytest.mark.parametrize("said", [None, "silence", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
async def test_what_breaks_after_it_was_sent_leaves_the_effect_open(
    service: HttpService, method: str, error: type[Exception], said: bytes | str | None
) -> None:
    service.answers = [said]

    with pytest.raises(error):
        await ask(service, method=method, timeout_seconds=0.3)

    assert 1 == len(service.asked)


async def test_what_was_never_sent_has_not_happened(service: HttpService, unused_port: int) -> None:
    settings = {"http_allowed_hosts": (f"127.0.0.1:{unused_port}",)}

    with pytest.raises(ToolFailed, match="cannot be connected to"):
        await ask(service, settings, method="POST", url=f"http://127.0.0.1:{unused_port}/")
    with pytest.raises(ToolFailed, match="does not resolve"):
        await ask(service, method="POST", url="http://nowhere.invalid/")


@pytest.fixture
async def unused_port() -> int:
    async with HttpService() as gone:
        return gone.port


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://2130706433:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://0.0.0.0:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
    ],
)
async def test_addresses_that_are_not_public_are_refused_unless_they_are_listed(service: HttpService, url: str) -> None:
    with pytest.raises(LocationDenied, match="HTTP_ALLOWED_HOSTS"):
        await ask(service, {"http_allowed_hosts": ("127.0.0.1:1", "example.com")}, url=url.format(port=service.port))

    assert [] == service.asked


async def test_a_redirect_is_followed_to_where_it_may_lead_and_nowhere_else(service: HttpService) -> None:
    async with HttpService() as private:
        service.answers = [
            answer(302, location="/second"),
            answer(200, b"here"),
            answer(302, location=f"{private.url}/metadata"),
        ]

        assert "here" == (await ask(service))["text"]
        with pytest.raises(LocationDenied):
            await ask(service)

        assert (["/path?q=1", "/second", "/path?q=1"], []) == ([asked.path for asked in service.asked], private.asked)


async def test_a_circle_of_redirects_ends(service: HttpService) -> None:
    service.answers = [answer(302, location="/again")] * 10

    with pytest.raises(RequestRefused, match="redirects"):
        await ask(service)

    assert 6 == len(service.asked)


async def test_a_secret_is_sent_to_its_hosts_only_and_not_taken_along_elsewhere(service: HttpService) -> None:
    async with HttpService() as other:
        here = (f"http://127.0.0.1:{service.port}",)
        secret = ToolSecret(value=SecretStr("Bearer s3cret"), hosts=here, org_ids=("org_test",))
        settings = {
            "http_allowed_hosts": ("127.0.0.1", "localhost"),
            "tool_secrets": {"books": secret, "theirs": secret.model_copy(update={"org_ids": ("org_other",)})},
        }
        service.answers = [answer(302, location=f"http://localhost:{other.port}/")]

        await ask(service, settings, headers={"Authorization": {"secret": "books"}})
        with pytest.raises(LocationDenied, match=rf"for http://127\.0\.0\.1:{service.port} only"):
            await ask(service, settings, url=f"http://localhost:{other.port}/", headers={"A": {"secret": "books"}})
        for name in ("theirs", "none"):
            with pytest.raises(LocationDenied, match="no secret"):
                await ask(service, settings, headers={"A": {"secret": name}})

        assert ["Bearer s3cret"] == [asked.headers.get("authorization") for asked in service.asked]
        assert [None] == [asked.headers.get("authorization") for asked in other.asked]
        assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("name", ["Authorization", "COOKIE", "X-Api-Key", "Host", "Content-Length"])
async def test_some_headers_are_not_written_out(service: HttpService, name: str) -> None:
    with pytest.raises(RequestRefused):
        await ask(service, headers={name: "x"})

    assert [] == service.asked


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://user:password@example.com/", "http:///x", "nonsense", "http://[::1"]
)
async def test_what_is_no_plain_http_url_is_refused(service: HttpService, url: str) -> None:
    with pytest.raises(LocationDenied):
        await ask(service, url=url)


@pytest.mark.parametrize(
    "arguments",
    [
        {"json": 1, "body": "x"},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X Y": "a"}},
        {"method": "CONNECT"},
        {"as": "pdf"},
    ],
)
async def test_what_the_schema_refuses_is_not_sent(service: HttpService, arguments: dict[str, Any]) -> None:
    with pytest.raises(SchemaViolation):
        await ask(service, **arguments)


async def test_a_body_beyond_the_limit_fails_a_read_and_is_left_out_of_what_was_done(service: HttpService) -> None:
    service.answers = [answer(200, b"x" * 2_000), answer(201, b"x" * 2_000)]
    limit = {"max_document_bytes": 1_000}

    with pytest.raises(DocumentTooLarge):
        await ask(service, limit)
    done = await ask(service, limit, method="POST")

    assert (201, True, False) == (done["status"], done["truncated"], "text" in done)


async def test_a_certificate_is_held_against_the_name_and_nothing_is_sent_to_a_stranger(tmp_path: Path) -> None:
    asked_for: list[str] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(tmp_path))
    tls.sni_callback = lambda _socket, name, _context: asked_for.append(str(name))
    received: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        context = BucketContext({})
        context.settings = Settings(http_allowed_hosts=("localhost",))
        with pytest.raises(ToolFailed, match="cannot be connected to"):
            await HTTP_REQUEST.call(context, {"method": "POST", "url": f"https://localhost:{port}/"})

    assert {"localhost"} == set(asked_for)
    assert [] == [content for content in received if content]


def _certificate(folder: Path) -> Path:
    """A certificate for localhost that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()) + made.public_bytes(encoding))
    return path

"""Secrets of TOOL_SECRETS: sent to their origins only, and shown to nobody."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from activities.errors import LocationDenied, RequestRefused, ToolFailed
from activities.tools.http_request import HTTP_REQUEST
from activities.tools.secret_scrubber import SecretScrubber
from agentflow.settings import Settings, ToolSecret
from tests.unit.activities.tools.bucket_context import BucketContext
from tests.unit.activities.tools.http_service import HttpService, answer

TOKEN = 'tok+en/"5ecret"&=='
VALUE = f"Bearer {TOKEN}"


@pytest.fixture
async def service() -> AsyncIterator[HttpService]:
    async with HttpService() as service:
        yield service


def context(service: HttpService, *hosts: str, value: str = VALUE) -> BucketContext:
    made = BucketContext({})
    secret = ToolSecret(value=SecretStr(value), hosts=hosts or (f"http://127.0.0.1:{service.port}",))
    made.settings = Settings(http_allowed_hosts=("127.0.0.1",), tool_secrets={"books": secret})
    return made


async def ask(context: BucketContext, url: str, **arguments: Any) -> Any:
    return await HTTP_REQUEST.call(context, {"url": url, "headers": {"X-Key": {"secret": "books"}}, **arguments})


@pytest.mark.parametrize("bound", ["127.0.0.1", "127.0.0.1:{port}", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
async def test_a_secret_goes_to_its_origin_only(service: HttpService, bound: str) -> None:
    with pytest.raises(LocationDenied, match="'books' is for"):
        await ask(context(service, bound.format(port=service.port)), service.url)

    assert [] == service.asked


def test_an_origin_is_https_unless_it_says_otherwise() -> None:
    hosts = ("API.example.com", "b.example.com:8443", "http://127.0.0.1:80", "https://[::1]")

    assert {
        "https://api.example.com:443",
        "https://b.example.com:8443",
        "http://127.0.0.1:80",
        "https://[::1]:443",
    } == ToolSecret(value=SecretStr("x"), hosts=hosts).origins


@pytest.mark.parametrize(
    ("value", "host"),
    [("a\r\nX: b", "a.example.com"), ("a\n", "a.example.com"), ("", "a.example.com"), ("a", "https://a.example.com/p")],
)
def test_what_can_be_no_secret_or_no_origin_is_refused_without_quoting_it(value: str, host: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ToolSecret(value=SecretStr(value), hosts=(host,))

    assert "X: b" not in str(refusal.value)


@pytest.mark.parametrize(
    "shown",
    [
        VALUE,
        TOKEN,
        json.dumps({"seen": VALUE}),
        quote(VALUE),
        quote(TOKEN, safe="").lower(),
        "".join(f"%{byte:02X}" for byte in TOKEN.encode()),
        "".join(f"\\u{byte:04x}" for byte in TOKEN.encode()),
        "".join(f"&#{byte};" for byte in TOKEN.encode()),
        "".join(f"&#x{byte:x};" for byte in TOKEN.encode()),
        TOKEN.replace("&", "&amp;").replace('"', "&quot;"),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(b"{" + TOKEN.encode() + b"}").decode(),
        base64.b64encode(b"ab" + TOKEN.encode() + b"yz").decode(),
        TOKEN.encode().hex(),
    ],
)
async def test_a_host_that_reflects_a_secret_shows_it_to_nobody(service: HttpService, shown: str) -> None:
    line = shown if shown.isprintable() else "none"
    service.answers = [
        answer(200, f"seen: {shown}.".encode(), content_type="text/plain", x_seen=line),
        answer(422, f"seen: {shown}.".encode(), content_type="text/plain"),
    ]

    output = await ask(context(service), service.url)
    with pytest.raises(RequestRefused) as refusal:
        await ask(context(service), service.url)

    assert [asked.headers["x-key"] for asked in service.asked] == [VALUE, VALUE]
    assert "[secret]" in output["text"]
    assert "[secret]" in output["headers"]["x-seen"]
    assert "[secret]" in str(refusal.value)
    for told in (output["text"], output["headers"]["x-seen"], str(refusal.value)):
        assert shown not in told
        assert TOKEN not in told


async def test_a_host_that_kept_a_secret_shows_it_to_nobody_later(service: HttpService) -> None:
    service.answers = [answer(200, f"last: {TOKEN}".encode(), content_type="text/plain")]

    output = await HTTP_REQUEST.call(context(service), {"url": service.url})

    assert "last: [secret]" == output["text"]


@pytest.mark.parametrize("elsewhere", ["http://{token}.invalid/", "http://127.0.0.1:1/{token}"])
async def test_an_error_on_the_way_shows_no_secret(service: HttpService, elsewhere: str) -> None:
    token = "SomeToken-12345"
    service.answers = [answer(302, location=elsewhere.format(token=token))]

    with pytest.raises((LocationDenied, ToolFailed)) as failure:
        await ask(context(service, value=f"Bearer {token}"), service.url)

    assert token.lower() not in str(failure.value).lower()


async def test_of_a_password_its_parts_are_secret_too(service: HttpService) -> None:
    value = "Basic " + base64.b64encode(b"user:hunter2hunter2").decode()
    service.answers = [answer(200, b"you are user with hunter2hunter2", content_type="text/plain")]

    output = await ask(context(service, value=value), service.url)

    assert "you are user with [secret]" == output["text"]


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=40), st.binary())
def test_no_base64_of_a_secret_stays(secret: str, around: bytes) -> None:
    scrubbed = SecretScrubber([secret]).scrub(base64.b64encode(around + secret.encode() + around))

    assert b"[secret]" in scrubbed


@pytest.mark.parametrize(
    "shown",
    [
        VALUE.encode(),
        VALUE.encode("utf-16-le"),
        base64.b64encode(b"{" + TOKEN.encode() + b"}")[4:-4],
        "".join(f"&#x0000{byte:x};" for byte in VALUE.encode()).encode(),
        "".join(f"%25{byte:x}" for byte in TOKEN.encode()).encode(),
    ],
)
def test_a_long_body_is_scrubbed_wherever_a_secret_stands(shown: bytes) -> None:
    scrubber, around, expected = SecretScrubber([VALUE]), b"-" * 300, SecretScrubber([VALUE]).scrub(shown)
    # What is searched at once ends after 64 KiB: a secret begins before that, there, or behind it.
    for before in range(64 * 1024 - len(shown) - 1, 64 * 1024 + 2, 3):
        body = b"-" * before + shown + around + shown + shown

        assert b"-" * before + expected + around + 2 * expected == scrubber.scrub(body)


@pytest.mark.parametrize("value", [" a", "a ", "a\n", "a\r\nb: c", "a\x7f", "\u00e9", "a\x00"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_header_that_cannot_be_sent_is_refused_before_anything_is(
    service: HttpService, value: str, method: str
) -> None:
    with pytest.raises(RequestRefused, match="does not allow"):
        await HTTP_REQUEST.call(context(service), {"url": service.url, "method": method, "headers": {"X-Odd": value}})

    assert [] == service.asked

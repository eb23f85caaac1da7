"""One HTTP request and its answer: each hop to an address that was checked, bounded in size and time.

What goes wrong is told by what the server can have seen of it: ToolFailed where nothing was sent, EffectUncertain from
the first byte on.
"""

import asyncio
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version

import httpx

from activities.errors import EffectUncertain, LocationDenied, RequestRefused, ToolFailed
from activities.tools.address_guard import resolve
from agentflow.content_encoding import ACCEPTED, ContentTooLong, ContentUnreadable, decompressed

_MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Asking again elsewhere is harmless for these only (RFC 9110, section 15.4).
_FOLLOWING_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What is to be sent."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    #: Headers for the first host only, whose values appear nowhere.
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    timeout_seconds: float
    #: Of the answer's body; what is longer is not kept.
    limit_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: httpx.Headers
    #: Without what it was compressed with; None when it was longer than the limit.
    content: bytes | None = field(repr=False)
    #: Why the content is still compressed.
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which hosts may be reached."""

    allowed_hosts: Collection[str]
    allowed_ports: Collection[int]


async def exchange(request: HttpRequest, *, tool: str, reach: Reach) -> HttpAnswer:
    """The answer to a request; raises LocationDenied, RequestRefused, ToolFailed or EffectUncertain."""
    try:
        async with asyncio.timeout(request.timeout_seconds):
            for _ in range(_MAX_REDIRECTS + 1):
                answer = await _one_hop(request, tool=tool, reach=reach)
                following = _next_hop(request, answer)
                if following is None:
                    return answer
                request = following
    except TimeoutError:
        reason = f"no answer within {request.timeout_seconds:g} s"
        raise EffectUncertain(tool=tool, reason=reason) from None
    raise RequestRefused(tool=tool, reason=f"more than {_MAX_REDIRECTS} redirects")


def port_of(url: httpx.URL) -> int:
    """The port that is written, or the scheme's."""
    return url.port or (443 if url.scheme == "https" else 80)


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port, as the settings of secrets spell them."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}:{port_of(url)}".lower()


def check_url(url: httpx.URL) -> None:
    """Raises LocationDenied for what is no plain HTTP URL."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise LocationDenied(location=url.host or url.scheme, reason="only http:// and https:// URLs are asked")
    if url.userinfo:
        raise LocationDenied(location=url.host, reason="a URL holds no password; give a header as {secret: NAME}")


async def _one_hop(request: HttpRequest, *, tool: str, reach: Reach) -> HttpAnswer:
    check_url(request.url)
    addresses = await resolve(
        request.url.host,
        port_of(request.url),
        tool=tool,
        allowed_hosts=reach.allowed_hosts,
        allowed_ports=reach.allowed_ports,
    )
    failure: httpx.HTTPError | None = None
    for address in addresses:
        try:
            return await _ask(request, address)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, UnicodeError) as error:
            # Found out while it was put together. Without its cause: it may quote the request.
            reason = f"it cannot be sent as it stands ({type(error).__name__})"
            raise RequestRefused(tool=tool, reason=reason) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            # Without its cause: it may quote the request.
            reason = f"{type(error).__name__} after it was sent"
            raise EffectUncertain(tool=tool, reason=reason) from None
    raise ToolFailed(tool=tool, reason=f"{request.url.host!r} cannot be connected to ({type(failure).__name__})")


async def _ask(request: HttpRequest, address: str) -> HttpAnswer:
    headers = {
        "user-agent": f"agentflow/{version('agentflow-platform')}",
        "accept-encoding": ACCEPTED,
        **{name.lower(): value for name, value in {**request.headers, **request.secret_headers}.items()},
        "host": request.url.netloc.decode("ascii"),
    }
    timeout = httpx.Timeout(request.timeout_seconds, connect=min(_CONNECT_SECONDS, request.timeout_seconds))
    transport = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False)
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        built = client.build_request(
            request.method,
            request.url.copy_with(host=address, fragment=None),
            headers=headers,
            content=request.content,
            # The certificate is held against the name, not against the address.
            extensions={"sni_hostname": request.url.host},
        )
        response = await client.send(built, stream=True)
        try:
            content = await _read(response, request.limit_bytes)
        finally:
            await response.aclose()
    return await _unpacked(response, content, request.limit_bytes)


async def _unpacked(response: httpx.Response, content: bytes | None, limit_bytes: int) -> HttpAnswer:
    headers, encoding, problem = response.headers.copy(), response.headers.get("content-encoding"), None
    if content and encoding is not None:
        try:
            content = await asyncio.to_thread(decompressed, content, encoding, limit_bytes=limit_bytes)
            # They tell of what was sent, which is no longer what is here.
            del headers["content-encoding"], headers["content-length"]
        except ContentTooLong:
            content = None
        except ContentUnreadable as error:
            problem = str(error)
    return HttpAnswer(status=response.status_code, headers=headers, content=content, problem=problem)


async def _read(response: httpx.Response, limit_bytes: int) -> bytes | None:
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > limit_bytes:
            return None
        parts.append(part)
    return b"".join(parts)


def _next_hop(request: HttpRequest, answer: HttpAnswer) -> HttpRequest | None:
    """The request that a redirect asks for; None when the answer is to be taken as it is."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or location is None or request.method not in _FOLLOWING_METHODS:
        return None
    try:
        url = request.url.join(location)
    except httpx.InvalidURL:
        return None
    is_elsewhere = origin_of(url) != origin_of(request.url)
    return replace(request, url=url, secret_headers={} if is_elsewhere else request.secret_headers)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """The system's and certifi's certificates, read once: that takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)

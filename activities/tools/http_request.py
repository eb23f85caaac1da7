"""`http.request`: any HTTP service, with an effect class by its method, and never twice what must happen once."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx

from activities.errors import (
    EffectUncertain,
    LocationDenied,
    RequestRefused,
    ServerBusy,
    StepError,
    ToolFailed,
)
from activities.tools.http_body import body_output, excerpt
from activities.tools.http_exchange import HttpAnswer, HttpRequest, Reach, check_url, exchange, origin_of
from activities.tools.secret_scrubber import SecretScrubber
from activities.tools.tool import Tool, ToolContext
from agentflow.digest import canonical_json
from agentflow.large_values import beside_loop
from agentflow.settings import Settings
from runs.effects import EffectClass
from runs.signatures import StepSignature

_NAME = "http.request"
_DEFAULT_SECONDS = 30.0
#: RFC 9110, section 5.5, without the bytes beyond ASCII that it calls obsolete.
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
#: RFC 9110, section 9.2; POST and PATCH promise nothing.
_EFFECTS = {
    **dict.fromkeys(("GET", "HEAD", "OPTIONS"), EffectClass.PURE),
    **dict.fromkeys(("PUT", "DELETE"), EffectClass.IDEMPOTENT),
    **dict.fromkeys(("POST", "PATCH"), EffectClass.AT_MOST_ONCE),
}
#: Not written out in documents, whose plans and inputs are stored, and not kept of answers.
_SENSITIVE = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})
#: The exchange sets these itself.
_RESERVED = frozenset({"host", "content-length", "transfer-encoding", "connection"})
#: The request was not worked on (RFC 9110, section 15.5.9; RFC 8470, section 5.2; RFC 6585, section 4).
_TURNED_AWAY = frozenset({408, 425, 429})


def effect_of(arguments: Mapping[str, Any]) -> EffectClass:
    """What a second request would do."""
    effect = _EFFECTS[arguments.get("method", "GET")]
    return EffectClass.IDEMPOTENT if effect is EffectClass.AT_MOST_ONCE and arguments.get("idempotent") else effect


async def _request(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    effect = effect_of(arguments)
    request = _built(context, arguments, effect)
    scrubber = _scrubber(context.settings, request)
    try:
        answer = await _scrubbed_exchange(context, request, scrubber)
    except EffectUncertain as error:
        if effect is EffectClass.PURE:
            raise ToolFailed(tool=_NAME, reason=error.reason) from None
        raise
    if not _is_expected(answer.status, request.method, arguments.get("expected_statuses")):
        failure = _failure(answer, effect)
        failure.said = await excerpt(request, answer)
        raise failure
    headers = {name: value for name, value in answer.headers.items() if name not in _SENSITIVE}
    # What was done cannot be asked again for an answer that reads better.
    must_keep = effect is not EffectClass.PURE
    body = await body_output(context, request, answer, form=arguments.get("as"), must_keep=must_keep)
    return {"status": answer.status, "headers": headers, **body}


def _scrubber(settings: Settings, request: HttpRequest) -> SecretScrubber:
    """Knows the secrets that are sent, and those that the host may have kept from before."""
    known = [
        secret.value.get_secret_value()
        for secret in settings.tool_secrets.values()
        if any(httpx.URL(origin).host == request.url.host for origin in secret.origins)
    ]
    return SecretScrubber([*request.secret_headers.values(), *known])


async def _scrubbed_exchange(context: ToolContext, request: HttpRequest, scrubber: SecretScrubber) -> HttpAnswer:
    """The answer, or the error, without secrets: a redirect may have led to a name that holds one."""
    settings = context.settings
    reach = Reach(allowed_hosts=settings.http_allowed_hosts, allowed_ports=settings.http_allowed_ports)
    try:
        answer = await exchange(request, tool=_NAME, reach=reach)
    except StepError as error:
        error.args = tuple(scrubber.scrub_text(str(part)) for part in error.args)
        raise
    headers = httpx.Headers(
        [(scrubber.scrub_text(name), scrubber.scrub_text(value)) for name, value in answer.headers.multi_items()]
    )
    content = answer.content
    if content:
        content = await beside_loop(partial(scrubber.scrub, content), on=content, owner=context.org_id)
    return replace(answer, headers=headers, content=content)


def _built(context: ToolContext, arguments: Mapping[str, Any], effect: EffectClass) -> HttpRequest:
    try:
        url = httpx.URL(arguments["url"])
    except httpx.InvalidURL as error:
        raise LocationDenied(location=str(arguments["url"])[:200], reason=f"it is no URL: {error}") from None
    check_url(url)
    plain, secret, content = dict[str, str](), dict[str, str](), None
    if "json" in arguments:
        content, plain["content-type"] = canonical_json(arguments["json"]), "application/json"
    elif "body" in arguments:
        content = str(arguments["body"]).encode("utf-8", errors="replace")
    if effect is EffectClass.IDEMPOTENT:
        plain["idempotency-key"] = context.idempotency_key
    for name, value in arguments.get("headers", {}).items():
        _check_header(name.lower(), value)
        if isinstance(value, str):
            plain[name.lower()] = value
        else:
            secret[name.lower()] = _secret(context, value["secret"], url)
    return HttpRequest(
        method=arguments.get("method", "GET"),
        url=url,
        headers=plain,
        secret_headers=secret,
        content=content,
        timeout_seconds=float(arguments.get("timeout_seconds", _DEFAULT_SECONDS)),
        limit_bytes=context.settings.max_document_bytes,
    )


def _check_header(name: str, value: Any) -> None:
    if name in _RESERVED:
        raise RequestRefused(tool=_NAME, reason=f"the header {name!r} is set by the request itself")
    if not isinstance(value, str):
        return
    if name in _SENSITIVE:
        raise RequestRefused(
            tool=_NAME, reason=f"the header {name!r} is not written out; give it as {{secret: NAME}} of TOOL_SECRETS"
        )
    if not _HEADER_VALUE.fullmatch(value):
        reason = f"the header {name!r} has a value that HTTP does not allow: visible ASCII, with blanks inside only"
        raise RequestRefused(tool=_NAME, reason=reason)


def _secret(context: ToolContext, name: str, url: httpx.URL) -> str:
    secret = context.settings.tool_secrets.get(name)
    if secret is None or (secret.org_ids and context.org_id not in secret.org_ids):
        raise LocationDenied(location=url.host, reason=f"TOOL_SECRETS has no secret {name!r} for this organisation")
    origin = origin_of(url)
    if origin not in secret.origins:
        raise LocationDenied(
            location=origin, reason=f"the secret {name!r} is for {', '.join(sorted(secret.origins))} only"
        )
    return secret.value.get_secret_value()


def _is_expected(status: int, method: str, expected: list[int] | None) -> bool:
    if expected is not None:
        return status in expected
    # A redirect of what is not asked again is an answer: it was done, and the result is elsewhere.
    return 200 <= status < (300 if method in {"GET", "HEAD"} else 400)


def _failure(answer: HttpAnswer, effect: EffectClass) -> StepError:
    """What an unexpected status says of the effect."""
    reason, wait = f"the server answered {answer.status}", _retry_after(answer.headers.get("retry-after"))
    if answer.status in _TURNED_AWAY or (answer.status == 503 and wait is not None):
        return ServerBusy(tool=_NAME, reason=reason, retry_after_seconds=wait)
    if 400 <= answer.status < 500:
        return RequestRefused(tool=_NAME, reason=reason)
    if answer.status >= 500:
        if effect is EffectClass.PURE:
            return ToolFailed(tool=_NAME, reason=reason)
        return EffectUncertain(tool=_NAME, reason=reason, retry_after_seconds=wait)
    if effect is EffectClass.AT_MOST_ONCE:
        return EffectUncertain(tool=_NAME, reason=f"{reason}, which is not expected")
    return RequestRefused(tool=_NAME, reason=f"{reason}, which is not expected")


def _retry_after(value: str | None) -> float | None:
    """Seconds (RFC 9110, section 10.2.3); None for what is neither a number nor a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        instant = parsedate_to_datetime(value)
    except ValueError:
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return max((instant - datetime.now(UTC)).total_seconds(), 0.0)


HTTP_REQUEST = Tool(
    signature=StepSignature(
        name=_NAME,
        description="Asks an HTTP service; the method says whether it may be asked twice.",
        input_schema={
            "type": "object",
            "properties": {
                "method": {"enum": list(_EFFECTS), "description": "GET when it is left out."},
                "url": {"type": "string", "minLength": 1, "maxLength": 8192},
                "headers": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$"},
                    "additionalProperties": {
                        "anyOf": [
                            {"type": "string", "maxLength": 8192, "pattern": "^[\\t\\x20-\\x7e]*$"},
                            {
                                "type": "object",
                                "properties": {"secret": {"type": "string"}},
                                "required": ["secret"],
                                "additionalProperties": False,
                            },
                        ]
                    },
                    "description": "Texts, or {secret: NAME} of the setting TOOL_SECRETS.",
                },
                "json": {"description": "The body, as JSON."},
                "body": {"type": "string", "description": "The body, as text."},
                "as": {
                    "enum": ["text", "json", "document"],
                    "description": "What becomes of the body; left out, it is what it says it is.",
                },
                "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 600},
                "expected_statuses": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 100, "maximum": 599},
                    "minItems": 1,
                    "description": "2xx when it is left out.",
                },
                "idempotent": {
                    "type": "boolean",
                    "description": "POST, PATCH: the service does once what brings one Idempotency-Key.",
                },
            },
            "required": ["url"],
            "not": {"required": ["json", "body"]},
            "additionalProperties": False,
        },
        output_schema={
            "type": "object",
            "properties": {
                "status": {"type": "integer"},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "json": {},
                "text": {"type": "string"},
                "document": {"type": "object"},
                "truncated": {"type": "boolean"},
                "problem": {"type": "string"},
            },
            "required": ["status", "headers"],
        },
    ),
    call=_request,
    effect=effect_of,
)

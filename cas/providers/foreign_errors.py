"""What every vendor's refusals have in common: an HTTP status, a short code, a wish to wait."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cas.errors import (
    ContentRefused,
    ContextTooLong,
    ProviderAuthenticationFailed,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)

#: A code is a word; anything else could be a sentence, and a sentence could quote the prompt.
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

_CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "request_too_large", "string_above_max_length"}
)
_CONTEXT_WORDS = re.compile(
    r"prompt is too long|maximum context length|context (?:window|length|size)|input is too long", re.IGNORECASE
)
_REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
_ACCOUNT_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "authentication_error",
        "invalid_api_key",
        "permission_error",
    }
)
_RATE_CODES = frozenset({"rate_limit_error", "rate_limit_exceeded", "requests", "tokens"})
_REQUEST_CODES = frozenset({"invalid_request_error", "not_found_error", "model_not_found"})
_TIMEOUT_CODES = frozenset({"timeout_error", "timeout"})

_STATUSES_OF_ACCOUNT = frozenset({401, 402, 403})
_STATUSES_OF_TIMEOUT = frozenset({408, 504})
#: Of httpx and its kin: the request did not leave this machine.
_CONNECTION_NEVER_MADE = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
#: Conflicts and closed connections pass by themselves.
_STATUSES_OF_PASSING_TROUBLE = frozenset({409, 425, 499})


def error_of_status(
    status: int,
    *,
    provider: str,
    model: str,
    codes: tuple[object, ...] = (),
    message: str = "",
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """The leaf of ProviderError for an HTTP answer.

    `codes` are the vendor's, most telling first. `message` is only searched for the signs of a prompt that is too
    long, never quoted.
    """
    words = [code for code in codes if isinstance(code, str) and _CODE.fullmatch(code)]
    reason = words[0] if words else None
    if status < 400:
        return error_of_codes(words, provider=provider, model=model, status=status)
    leaf = _leaf_of_status(status, words, message)
    if issubclass(leaf, RateLimited | ProviderUnavailable):
        wait = retry_after_of(headers)
        return leaf(provider=provider, model=model, status=status, reason=reason, retry_after_seconds=wait)
    return leaf(provider=provider, model=model, status=status, reason=reason)


def with_sending(failure: ProviderError, error: BaseException) -> ProviderError:
    """`failure`, marked as never sent when what raised it, or its cause, is a connection that was never made."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__name__ in _CONNECTION_NEVER_MADE:
            failure.never_sent = True
            return failure
        cause = cause.__cause__
    return failure


def _leaf_of_status(status: int, words: list[str], message: str) -> type[ProviderError]:
    if status in _STATUSES_OF_ACCOUNT or _ACCOUNT_CODES.intersection(words):
        return ProviderAuthenticationFailed
    if status == 429:
        return RateLimited
    if status in _STATUSES_OF_TIMEOUT:
        return ProviderTimeout
    if status >= 500 or status in _STATUSES_OF_PASSING_TROUBLE:
        return ProviderUnavailable
    return _leaf_of_refusal(status, words, message)


def _leaf_of_refusal(status: int, words: list[str], message: str) -> type[ProviderError]:
    if status == 413 or _CONTEXT_CODES.intersection(words) or _CONTEXT_WORDS.search(message):
        return ContextTooLong
    if _REFUSAL_CODES.intersection(words):
        return ContentRefused
    return ProviderRejected


def error_of_codes(words: list[str], *, provider: str, model: str, status: int | None = None) -> ProviderError:
    """The leaf for an error inside a stream that had begun well: only its code tells; without one the vendor failed."""
    leaves: tuple[tuple[frozenset[str], type[ProviderError]], ...] = (
        (_ACCOUNT_CODES, ProviderAuthenticationFailed),
        (_RATE_CODES, RateLimited),
        (_CONTEXT_CODES, ContextTooLong),
        (_REFUSAL_CODES, ContentRefused),
        (_TIMEOUT_CODES, ProviderTimeout),
        (_REQUEST_CODES, ProviderRejected),
    )
    leaf = next((leaf for codes, leaf in leaves if codes.intersection(words)), ProviderUnavailable)
    return leaf(provider=provider, model=model, status=status, reason=words[0] if words else "error in the stream")


def retry_after_of(headers: Mapping[str, str] | None) -> float | None:
    """Seconds to wait by `Retry-After-Ms` or `Retry-After` (RFC 9110, 10.2.3: seconds or a date); never negative."""
    if headers is None:
        return None
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _number(value: str | None) -> float | None:
    return float(value) if value is not None and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip()) else None

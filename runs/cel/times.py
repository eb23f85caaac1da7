"""Timestamps (RFC 3339) and durations (`1h30m`), read and written as CEL does."""

import re
from datetime import UTC, datetime, timedelta

from runs.cel.values import Fault

_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DURATION = re.compile(r"[+-]?(?:\d{1,18}(?:\.\d{1,18})?(?:h|ms|m|s|us|µs|ns))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def read_timestamp(text: str) -> datetime:
    """The instant of an RFC 3339 text, to the microsecond; raises Fault."""
    if _TIMESTAMP.fullmatch(text):
        fraction = re.search(r"\.(\d+)", text)
        plain = text if fraction is None else text.replace(fraction[0], f".{fraction[1][:6]:0<6}")
        try:
            return datetime.fromisoformat(plain.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Fault("timestamp() needs a text such as '2026-03-01T09:30:00Z'")


def read_duration(text: str) -> timedelta:
    """The time that `1h30m`, `1.5s` or `-20ms` say; raises Fault."""
    if _DURATION.fullmatch(text):
        seconds = sum(float(count) * _SECONDS[unit] for count, unit in _PART.findall(text))
        try:
            return timedelta(seconds=-seconds if text.startswith("-") else seconds)
        except OverflowError:
            pass
    raise Fault("duration() needs a text such as '1h30m', '90s' or '250ms'")


def timestamp_text(value: datetime) -> str:
    """ISO 8601 with its offset."""
    return value.isoformat()


def duration_text(value: timedelta) -> str:
    """Seconds with an `s`, as protobuf's JSON has durations."""
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    seconds, rest = divmod(abs(micros), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micros < 0 else ''}{seconds}{fraction}s"

"""Functions of timestamps and durations, in UTC or in a time zone by its name or offset (langdef.md, "Timestamps")."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agentflow.meter import Meter
from runs.cel.function import Function, text
from runs.cel.operators import timely
from runs.cel.times import read_duration, read_timestamp
from runs.cel.values import Fault, described, is_number

_OFFSET = re.compile(r"([+-]?)(\d{2}):(\d{2})", re.ASCII)


def as_timestamp(meter: Meter, value: Any) -> datetime:
    """An instant from an RFC 3339 text, or from seconds since 1970."""
    meter.spend()
    if isinstance(value, datetime):
        return value
    if is_number(value):
        found: datetime = timely(lambda: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value))
        return found
    if isinstance(value, str) and len(value) <= 64:
        return read_timestamp(value)
    raise Fault("timestamp() needs a text such as '2026-03-01T09:30:00Z'")


def as_duration(meter: Meter, value: Any) -> timedelta:
    """A time span from a text such as `1h30m`."""
    meter.spend()
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and len(value) <= 64:
        return read_duration(value)
    raise Fault("duration() needs a text such as '1h30m', '90s' or '250ms'")


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if match := _OFFSET.fullmatch(name):
        span = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if span < timedelta(hours=24):
            return timezone(-span if match[1] == "-" else span)
    # Other names are of the machine (`localtime`), or of another clock (`right/…`).
    if ("/" in name[:-1] and not name.startswith(("posix", "right"))) or name in {"UTC", "GMT", "Z"}:
        with suppress(ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo("UTC" if name == "Z" else name)
    raise Fault("there is no time zone of that name; write one such as 'Europe/Berlin', or '+02:00'")


def _part(name: str, of_time: Callable[[datetime], int], of_span: Callable[[timedelta], int] | None = None) -> Function:
    def apply(meter: Meter, value: Any, zone: Any = "UTC") -> int:
        meter.spend(4)
        if isinstance(value, datetime):
            place = _zone(text(zone, name)[:64])
            return of_time(timely(lambda: value.astimezone(place)))
        if of_span is not None and isinstance(value, timedelta):
            return of_span(value)
        raise Fault(f"{name}() needs a timestamp, not {described(value)}; write timestamp(x).{name}()")

    return Function(name=name, usage=f"timestamp.{name}([zone])", apply=apply, least=1, most=2)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


FUNCTIONS: tuple[Function, ...] = (
    Function(name="timestamp", usage="timestamp(text)", apply=as_timestamp, style="global"),
    Function(name="duration", usage="duration(text)", apply=as_duration, style="global"),
    _part("getFullYear", lambda time: time.year),
    _part("getMonth", lambda time: time.month - 1),
    _part("getDate", lambda time: time.day),
    _part("getDayOfMonth", lambda time: time.day - 1),
    _part("getDayOfWeek", lambda time: time.isoweekday() % 7),
    _part("getDayOfYear", lambda time: time.timetuple().tm_yday - 1),
    _part("getHours", lambda time: time.hour, lambda span: int(_seconds(span) / 3600)),
    _part("getMinutes", lambda time: time.minute, lambda span: int(_seconds(span) / 60)),
    _part("getSeconds", lambda time: time.second, _seconds),
    _part(
        "getMilliseconds",
        lambda time: time.microsecond // 1000,
        lambda span: int(span / timedelta(milliseconds=1)) % 1000,
    ),
)

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from activities.sandbox.models import CodeLanguage, CodeLimits, CodeRequest
from tests.unit.activities.sandbox.requests import NOW, javascript, python, wasm

REQUEST = python("def main(input): return input", input={"b": 1, "a": 2})


def test_equal_requests_have_equal_digests_whatever_the_order_of_their_keys() -> None:
    assert REQUEST.digest() == replace(REQUEST, input={"a": 2, "b": 1}).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"source": "def main(input): return 1"},
        {"language": CodeLanguage.JAVASCRIPT},
        {"input": {"a": 2, "b": 2}},
        {"seed": 8},
        {"now": NOW + timedelta(microseconds=1)},
        {"limits": replace(REQUEST.limits, fuel=2_000_000)},
        {"limits": replace(REQUEST.limits, memory_bytes=2_000_000)},
        {"limits": replace(REQUEST.limits, output_bytes=2_000)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_an_output_depends_on_changes_the_digest(change: dict[str, Any]) -> None:
    assert REQUEST.digest() != replace(REQUEST, **change).digest()


def test_how_long_a_result_is_waited_for_does_not_change_the_digest() -> None:
    patient = replace(REQUEST, limits=replace(REQUEST.limits, wall_seconds=60))

    assert REQUEST.digest() == patient.digest()


def test_modules_are_told_apart_by_their_bytes() -> None:
    assert wasm(b"\x00asm").digest() == wasm(b"\x00asm").digest()
    assert wasm(b"\x00asm").digest() != wasm(b"\x00asn").digest()


def test_the_clock_of_a_request_counts_nanoseconds_from_1970() -> None:
    assert 1_772_600_767_250_000_000 == REQUEST.now_nanoseconds


@pytest.mark.parametrize(
    "limit",
    [
        {"fuel": 10},
        {"fuel": 10**13},
        {"memory_bytes": 0},
        {"memory_bytes": 2**32},
        {"wall_seconds": 0},
        {"wall_seconds": 301},
        {"wall_seconds": float("nan")},
        {"output_bytes": 0},
        {"output_bytes": 2**30},
    ],
    ids=str,
)
def test_a_limit_outside_its_bounds_is_refused_by_name(limit: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"limits.{next(iter(limit))} is"):
        CodeLimits(**limit)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": None}, "a module when its language is wasm"),
        ({"module": b"\x00asm"}, "a module when its language is wasm"),
        ({"source": "#" * 300_000}, "more than 262,144 characters"),
        ({"now": datetime(2026, 1, 1)}, "with its time zone"),  # noqa: DTZ001
        ({"now": NOW.replace(year=1969)}, "from 1970"),
    ],
)
def test_a_request_that_cannot_be_run_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(REQUEST, **change)


def test_a_request_shows_no_content_where_it_is_printed() -> None:
    shown = [repr(request) for request in (REQUEST, javascript("secret", input="secret"), wasm(b"secret"))]

    assert not [text for text in shown if "secret" in text or "main" in text]


def test_a_source_needs_no_module_and_a_module_no_source() -> None:
    with pytest.raises(ValueError, match="a module when its language is wasm"):
        CodeRequest(org_id="o", language=CodeLanguage.WASM, source="x", module=b"x", seed=1, now=NOW)

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from api.errors import KeyRepeated, TooManyValues
from api.json_body import MAX_JSON_VALUES, _has_more_values, read_json
from tests.loop_delay import LoopDelay
from tests.unit.json_values import JSON_VALUES

pytestmark = pytest.mark.usefixtures("own_heap")

LARGEST = 4_000_000


def values_in(value: object) -> int:
    """As many as the reader's scan counts: brackets that open, and commas."""
    if isinstance(value, dict):
        return max(1, len(value)) + sum(values_in(item) for item in value.values())
    if isinstance(value, list):
        return max(1, len(value)) + sum(values_in(item) for item in value)
    return 0


@given(JSON_VALUES)
async def test_json_is_read_as_it_was_written(value: object) -> None:
    assert value == await read_json(json.dumps(value).encode())


@given(JSON_VALUES, st.booleans())
def test_values_are_counted_whatever_stands_in_texts(value: object, ascii_only: bool) -> None:
    body = json.dumps([value, 'a,b[{"\\,', "\\"], ensure_ascii=ascii_only).encode(errors="surrogatepass")
    count = values_in([value, "", ""])

    assert _has_more_values(body, count - 1)
    assert not _has_more_values(body, count)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"a":1,"a":1}', "$.a"),
        ('{"a":{"b":[0,{"c":1,"d":2,"c":3}]}}', "$.a.b[1].c"),
        ('[{"x y":1,"x y":2}]', '$[0]["x y"]'),
        (r'{"a":1,"\u0061":2}', "$.a"),
        ('{"p":' + " " * 40_000 + '{"a":{"b":1,"b":1},"a":2}}', "$.p.a"),
    ],
)
async def test_a_key_that_stands_twice_is_refused_with_its_path(body: str, path: str) -> None:
    with pytest.raises(KeyRepeated) as refusal:
        await read_json(body.encode())

    assert path == refusal.value.path


@pytest.mark.parametrize("body", [b"{", b"", b"[1,]", b'"\\', b'"' + b"\\" * 50_001, b'{"a":1,}', b"[" * 40_000 + b'"'])
async def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises((json.JSONDecodeError, HTTPException)):
        await read_json(body)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 50_000 + b"]" * 50_000, b"[" + b"9" * 5_000 + b"]"])
async def test_what_no_reader_takes_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(HTTPException) as refusal:
        await read_json(body)

    assert 400 == refusal.value.status_code


MANY = {
    "numbers": b"[" + b"1," * (LARGEST // 2 - 2) + b"1]",
    "objects": b"[" + b'{"a":1},' * (LARGEST // 8 - 1) + b"1]",
    "empty lists": b"[" + b"[]," * (LARGEST // 3 - 1) + b"1]",
    "keys": b"{" + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}",
    "texts without commas": b'""' * 1_900_000 + b"," * (MAX_JSON_VALUES + 1),
    "open lists": b"[" * LARGEST,
}
LONG = {
    "text": b'"' + b"x" * LARGEST + b'"',
    "commas in a text": b'"' + b"," * LARGEST + b'"',
    "escapes": b'["' + b"\\n" * (LARGEST // 2 - 2) + b'"]',
    "quotes": b'["' + b'\\"' * (LARGEST // 2 - 2) + b'"]',
    "as many values as may be": b"[" + b'{"key":"value, and more"},' * (MAX_JSON_VALUES // 2 - 1) + b"1]",
    "space": b"[1" + b" " * LARGEST + b"]",
}


@pytest.mark.parametrize("name", MANY)
async def test_json_of_too_many_values_is_refused_without_keeping_the_loop(name: str) -> None:
    async with LoopDelay() as delay:
        with pytest.raises(TooManyValues):
            await read_json(MANY[name])

    assert delay.worst_seconds < 0.05


@pytest.mark.parametrize("name", LONG)
async def test_long_json_is_read_without_keeping_the_loop(name: str) -> None:
    async with LoopDelay() as delay:
        value = await read_json(LONG[name])

    assert re.sub(rb"\s", b"", LONG[name])[:20].decode()[:1] in json.dumps(value)
    assert delay.worst_seconds < 0.05

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.sandbox.bounds import MOST_OUTPUT_BYTES, MOST_OUTPUT_VALUES
from activities.sandbox.errors import OutputInvalid, OutputTooIntricate
from activities.sandbox.guest import End, Ending
from activities.sandbox.models import CodeLimits, CodeRequest
from activities.sandbox.outcome import result_of
from agentflow.digest import Json, canonical_json, sha256_hex
from tests.unit.activities.sandbox.requests import python, wasm
from tests.unit.json_values import JSON_VALUES

LIMITS = CodeLimits(output_bytes=MOST_OUTPUT_BYTES)
MODULE = wasm("(module)", limits=LIMITS)
MARK = b"\x1eagentflow-answer\x1e"


def output_of(content: bytes, *, request: CodeRequest = MODULE) -> Json:
    return result_of(request, Ending(end=End.RETURNED, output=content), seconds=0.0).output


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"[]," * 250_000 + b"[]]",
        b"[" + b"{}," * 250_000 + b"{}]",
        b"[" + b'"a",' * 250_000 + b'"a"]',
        b"[" * 250_000,
        b"{" + b",".join(b'"%d":0' % number for number in range(250_000)) + b"}",
        b'[["\\\\",' + b"0," * 250_000,
    ],
    ids=["lists", "objects", "texts", "nested", "members", "after an escape"],
)
def test_an_output_of_too_many_values_is_refused_before_it_is_parsed(content: bytes) -> None:
    with pytest.raises(OutputTooIntricate, match="200,000 values"):
        output_of(content)


@pytest.mark.parametrize(
    "content",
    [
        b'"' + b'\\",[{' * 1_000_000 + b'"',
        b'{"text":"' + b"\\\\" * 1_000_000 + b',"}',
        b"[" + b"0," * (MOST_OUTPUT_VALUES - 2) + b"0]",
    ],
    ids=["signs in a text", "backslashes", "as many as may be"],
)
def test_only_values_count(content: bytes) -> None:
    assert output_of(content)


@given(value=JSON_VALUES)
def test_an_output_comes_as_it_is_with_the_digest_of_its_canonical_form(value: Json) -> None:
    result = result_of(MODULE, Ending(end=End.RETURNED, output=canonical_json(value)), seconds=0.0)

    assert (value, sha256_hex(canonical_json(value))) == (result.output, result.output_digest)


def test_an_interpreters_answer_may_hold_as_many_values() -> None:
    content = b"printed" + MARK + b'{"kind":"output","output":[' + b"0," * (MOST_OUTPUT_VALUES - 2) + b"0]}"

    output = output_of(content, request=python("", limits=LIMITS))

    assert isinstance(output, list)
    assert MOST_OUTPUT_VALUES - 1 == len(output)


@given(content=st.binary(max_size=60) | st.text(alphabet='"\\[{,a', max_size=60).map(str.encode))
def test_whatever_a_module_writes_is_an_output_or_an_error_of_its_own(content: bytes) -> None:
    with suppress(OutputInvalid):
        output_of(content)


@pytest.mark.parametrize("content", [b'"' + b'\\"' * 4_000_000, b'"' * 2_000_001, b'"' + b"\\" * 8_000_001])
def test_texts_that_do_not_end_are_told_at_once(content: bytes) -> None:
    with pytest.raises(OutputInvalid):
        output_of(content)

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import Json, canonical_json, json_digest, keyed_digest, sha256_hex
from tests.unit.json_values import JSON_VALUES, TEXTS

PARTS = st.lists(st.none() | st.integers() | TEXTS, max_size=5)


def with_keys_reversed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: with_keys_reversed(part) for key, part in reversed([*value.items()])}
    if isinstance(value, list):
        return [with_keys_reversed(part) for part in value]
    return value


@given(JSON_VALUES)
def test_the_order_of_keys_does_not_matter(value: Json) -> None:
    assert json_digest(value) == json_digest(with_keys_reversed(value))


@given(JSON_VALUES)
def test_equal_content_has_an_equal_digest_and_is_read_back_as_it_was(value: Json) -> None:
    read_back = json.loads(canonical_json(value))

    assert value == read_back
    assert json_digest(value) == json_digest(read_back)


@given(JSON_VALUES, JSON_VALUES)
def test_contents_share_a_digest_only_when_they_are_equal(first: Json, second: Json) -> None:
    assert first == second or json_digest(first) != json_digest(second)


@given(JSON_VALUES)
def test_a_tuple_is_the_list_of_its_items(value: Json) -> None:
    assert json_digest([value, value]) == json_digest((value, value))


@pytest.mark.parametrize(
    ("first", "second"),
    [(1, "1"), (1, True), (0, False), (0, None), ("", None), ([], {}), ([[1], 2], [1, [2]]), ({"a": None}, {})],
)
def test_values_that_only_resemble_each_other_have_digests_of_their_own(first: Json, second: Json) -> None:
    assert json_digest(first) != json_digest(second)


def test_the_canonical_form_is_sorted_utf_8_without_white_space() -> None:
    value: Json = {"b": [1, 2.5, None], "a": {"é": "😀", "d": True}}

    assert canonical_json(value) == '{"a":{"d":true,"é":"😀"},"b":[1,2.5,null]}'.encode()


def test_half_a_surrogate_pair_has_a_canonical_form_too() -> None:
    assert canonical_json("\ud83d") == b'"\xed\xa0\xbd"'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_cannot_say_is_refused_wherever_it_stands(number: float) -> None:
    for value in (number, [number], {"a": {"b": number}}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(value)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), {"a": {1}}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


def test_a_hash_is_the_published_one() -> None:
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert json_digest({}) == sha256_hex(b"{}")


@given(PARTS, PARTS)
def test_parts_of_a_key_cannot_run_into_each_other(
    first: list[str | int | None], second: list[str | int | None]
) -> None:
    assert (first == second) == (keyed_digest(*first) == keyed_digest(*second))


def test_a_part_that_is_missing_is_not_one_that_is_empty() -> None:
    digests = {keyed_digest("a", None), keyed_digest("a", ""), keyed_digest("a", 0), keyed_digest("a", "0")}

    assert 4 == len({*digests})

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import Json, canonical_json
from agentflow.large_values import beside_loop, canonical_json_in_pieces, is_large
from tests.unit.json_values import JSON_VALUES, TEXTS

SMALL: list[Json] = [None, "a" * 60_000, [1] * 1_900, {"a": [{"b": 1}] * 500}]
LARGE: list[Json] = [
    "a" * 70_000,
    [1] * 2_001,
    {str(place): place for place in range(2_001)},
    [["ab"] * 1_900, ["ab"] * 1_900],
    {"a" * 70_000: 1},
    [[["a"] * 40] * 40] * 40,
]


@pytest.mark.parametrize(("value", "expected"), [*((value, False) for value in SMALL), *((v, True) for v in LARGE)])
def test_a_value_is_large_by_what_it_holds_anywhere(value: Json, expected: bool) -> None:
    assert expected == is_large(value)


@pytest.mark.parametrize(("value", "is_aside"), [(SMALL[2], False), (LARGE[1], True), (b"a" * 70_000, True)])
async def test_large_values_are_worked_on_in_a_thread(value: object, is_aside: bool) -> None:
    worker = await beside_loop(threading.get_ident, on=value, owner="a")

    assert is_aside == (worker != threading.get_ident())


@given(parts=st.lists(JSON_VALUES, min_size=1, max_size=4), names=st.lists(TEXTS, min_size=1, max_size=4))
def test_pieces_make_the_canonical_form(parts: list[Json], names: list[str]) -> None:
    wide: Json = [parts[place % len(parts)] for place in range(300)]
    members: Json = {
        f"{names[place % len(names)]}{place}": wide if place == 7 else parts[place % len(parts)] for place in range(300)
    }

    assert canonical_json(members) == canonical_json_in_pieces(members)


def test_pieces_refuse_what_the_canonical_form_refuses() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json_in_pieces([1.0] * 300 + [float("nan")])

from hypothesis import given
from hypothesis import strategies as st

from promptops.assignment import assign, sticky_point

KEYS = st.text(max_size=40)
RATIOS = st.floats(min_value=0, max_value=1)


@given(key=KEYS, name=KEYS, ratio=RATIOS, more=RATIOS)
def test_a_key_in_the_canary_stays_there_when_the_ratio_grows(key: str, name: str, ratio: float, more: float) -> None:
    smaller, larger = sorted([ratio, more])

    moved_out = assign(key, name, smaller) == "canary" and assign(key, name, larger) == "stable"

    assert not moved_out


@given(key=KEYS, name=KEYS)
def test_nobody_gets_a_canary_of_nothing_and_everybody_gets_one_of_everything(key: str, name: str) -> None:
    assert (assign(key, name, 0.0), assign(key, name, 1.0)) == ("stable", "canary")


@given(key=KEYS, name=KEYS)
def test_the_point_of_a_key_lies_in_the_half_open_unit_interval(key: str, name: str) -> None:
    assert 0 <= sticky_point(key, name) < 1


def test_the_point_of_a_key_is_the_same_in_every_release() -> None:
    assert sticky_point("run_1", "document_analyzer") == 0.5049995557199594


def test_the_canary_gets_its_share_of_many_keys() -> None:
    keys = [f"run_{number}" for number in range(20_000)]

    share = sum(assign(key, "greeting", 0.1) == "canary" for key in keys) / len(keys)

    assert abs(share - 0.1) < 0.01


def test_two_prompts_split_the_same_keys_independently() -> None:
    keys = [f"run_{number}" for number in range(20_000)]

    both = sum(assign(key, "one", 0.5) == assign(key, "two", 0.5) == "canary" for key in keys) / len(keys)

    assert abs(both - 0.25) < 0.02


def test_name_and_key_cannot_run_into_each_other() -> None:
    assert sticky_point("b", "ab") != sticky_point("ab", "b") != sticky_point("bb", "a")

from hypothesis import given
from hypothesis import strategies as st

from cli.embedded.backoff import Backoff


def test_the_wait_doubles_from_half_a_second_to_ten() -> None:
    backoff = Backoff()

    delays = [backoff.delay_seconds(crashes) for crashes in range(1, 8)]

    assert delays == [0.5, 1, 2, 4, 8, 10, 10]


@given(crashes=st.integers(min_value=1, max_value=100_000))
def test_the_wait_never_shrinks_and_never_passes_its_limit(crashes: int) -> None:
    backoff = Backoff()

    assert backoff.delay_seconds(crashes) <= backoff.delay_seconds(crashes + 1) <= backoff.longest_seconds


def test_a_long_run_makes_the_next_crash_a_first_one() -> None:
    backoff = Backoff(healthy_after_seconds=30)

    assert backoff.crashes_in_a_row(6, ran_for_seconds=30) == 1
    assert backoff.crashes_in_a_row(6, ran_for_seconds=29.9) == 7

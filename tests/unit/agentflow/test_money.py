import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.money import (
    MICRO_USD_PER_CENT,
    MicroUsd,
    format_usd,
    from_cents,
    remaining_to_cents,
    spend_to_cents,
)

AMOUNTS = st.integers(-(10**18), 10**18).map(MicroUsd)


@given(st.integers())
def test_whole_cents_survive_the_way_there_and_back(cents: int) -> None:
    assert cents == spend_to_cents(from_cents(cents))
    assert cents == remaining_to_cents(from_cents(cents))


@given(AMOUNTS)
def test_spending_is_never_understated_and_never_overstated_by_a_cent(amount: MicroUsd) -> None:
    assert 0 <= from_cents(spend_to_cents(amount)) - amount < MICRO_USD_PER_CENT


@given(AMOUNTS)
def test_what_is_left_is_never_overstated_and_never_understated_by_a_cent(amount: MicroUsd) -> None:
    assert 0 <= amount - from_cents(remaining_to_cents(amount)) < MICRO_USD_PER_CENT


@given(AMOUNTS)
def test_a_spend_and_its_refund_are_rounded_alike(amount: MicroUsd) -> None:
    assert spend_to_cents(amount) == -remaining_to_cents(MicroUsd(-amount))


@given(AMOUNTS)
def test_a_formatted_amount_is_exact_and_has_two_to_six_decimals(amount: MicroUsd) -> None:
    text = format_usd(amount)

    assert re.fullmatch(r"-?\$\d+\.\d{2}(\d{0,3}[1-9])?", text)
    assert Decimal(amount) / 1_000_000 == Decimal(text.replace("$", ""))


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (10_000, "$0.01"),
        (100_000, "$0.10"),
        (1_234_567, "$1.234567"),
        (1_230_000, "$1.23"),
        (12_000_000_000, "$12000.00"),
        (-1, "-$0.000001"),
        (-1_500_000, "-$1.50"),
    ],
)
def test_an_amount_is_written_for_people(amount: int, text: str) -> None:
    assert text == format_usd(MicroUsd(amount))

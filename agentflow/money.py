"""Money is an integer of micro-USD inside, and an integer of cents where people meet it."""

from typing import NewType

MicroUsd = NewType("MicroUsd", int)

MICRO_USD_PER_CENT = 10_000
MICRO_USD_PER_USD = 1_000_000


def from_cents(cents: int) -> MicroUsd:
    """Micro-USD for a whole number of cents."""
    return MicroUsd(cents * MICRO_USD_PER_CENT)


def spend_to_cents(amount: MicroUsd) -> int:
    """Cents for money that was spent, rounded up: a report never understates a bill."""
    return -(-amount // MICRO_USD_PER_CENT)


def remaining_to_cents(amount: MicroUsd) -> int:
    """Cents for money that is left, rounded down: a report never promises what is not there."""
    return amount // MICRO_USD_PER_CENT


def format_usd(amount: MicroUsd) -> str:
    """`$1.234567` with at least two decimals and no trailing zeros past them."""
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), MICRO_USD_PER_USD)
    decimals = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole}.{decimals}"

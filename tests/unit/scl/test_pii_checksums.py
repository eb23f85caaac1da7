import pytest
from hypothesis import given
from hypothesis import strategies as st

from scl.pii_checksums import is_card_number, is_iban, luhn_holds


@given(st.text(alphabet="0123456789", min_size=1, max_size=18))
def test_exactly_one_check_digit_completes_a_number(digits: str) -> None:
    fitting = [check for check in "0123456789" if luhn_holds(digits + check)]

    assert len(fitting) == 1


@given(st.integers(min_value=0, max_value=15), st.integers(min_value=1, max_value=9))
def test_changing_one_digit_of_a_card_breaks_its_check(position: int, difference: int) -> None:
    digits = "4111111111111111"
    changed = str((int(digits[position]) + difference) % 10)

    assert not luhn_holds(digits[:position] + changed + digits[position + 1 :])


@pytest.mark.parametrize("number", ["1234567812345670", "0000000000000000", "411111111111", "9999999999999995"])
def test_a_number_of_no_issuer_is_no_card_whatever_its_check_digit(number: str) -> None:
    assert not is_card_number(number)


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_one_pair_of_check_digits_between_02_and_98_fits_a_german_account(account: int) -> None:
    fitting = [check for check in range(2, 99) if is_iban(f"DE{check:02d}{account:018d}")]

    assert len(fitting) == 1


def test_an_iban_of_another_length_than_its_country_has_is_refused() -> None:
    assert is_iban("DE89370400440532013000")
    assert not is_iban("DE893704004405320130000")

import pytest

from scl.models import PiiKind
from scl.pii_checksums import is_iban
from scl.pii_patterns import find_pii
from tests.unit.scl.confusing_texts import FOR_PII, megabyte_of


def found(text: str) -> list[tuple[str, str]]:
    return [(match.kind.value, match.value) for match in find_pii(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to john.doe+news@mail.example.co.uk, please", "john.doe+news@mail.example.co.uk"),
        ("(jane@example.com)", "jane@example.com"),
        ("see jane@example.com.", "jane@example.com"),
        ("mailto:jane@example.com?subject=x", "jane@example.com"),
        ("_jane@example.com_", "_jane@example.com"),
        ("jürgen@müller.de", "jürgen@müller.de"),
        ("user@xn--e1afmkfd.xn--p1ai", "user@xn--e1afmkfd.xn--p1ai"),
        ("wait...jane@example.com", "jane@example.com"),
        ("o'neil@example.ie", "o'neil@example.ie"),
    ],
)
def test_an_email_address_is_found_in_its_surroundings(text: str, expected: str) -> None:
    assert [("EMAIL", expected)] == found(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+49 30 1234567", "+49 30 1234567"),
        ("+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
        ("+14155552671", "+14155552671"),
        ("+1 (415) 555-2671", "+1 (415) 555-2671"),
        ("+91 98765 43210", "+91 98765 43210"),
        ("+33.1.23.45.67.89", "+33.1.23.45.67.89"),
        ("0049 30 1234567", "0049 30 1234567"),
        ("(415) 555-2671", "(415) 555-2671"),
        ("415-555-2671", "415-555-2671"),
        ("415.555.2671", "415.555.2671"),
        ("1-800-555-0199", "1-800-555-0199"),
        ("call 415 555 2671 today", "415 555 2671"),
        ("020 7946 0958", "020 7946 0958"),
        ("0171/1234567", "0171/1234567"),
        ("01 23 45 67 89", "01 23 45 67 89"),
        ("(02) 9374 4000", "(02) 9374 4000"),
        ("03-1234-5678", "03-1234-5678"),
        ("电话415-555-2671号", "415-555-2671"),
        ("tel:+4930123456789;", "+4930123456789"),
    ],
)
def test_a_phone_number_is_found_in_the_forms_that_people_write(text: str, expected: str) -> None:
    assert [("PHONE", expected)] == found(text)


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "4222222222222",
    ],
)
def test_a_card_number_is_found_with_and_without_separators(card: str) -> None:
    assert [("CARD", card)] == found(f"card: {card}, thanks")


@pytest.mark.parametrize("card", ["4111111111111112", "4111 1111 1111 1112", "378282246310006"])
def test_a_number_with_a_wrong_luhn_digit_is_no_card(card: str) -> None:
    assert found(f"card: {card}") == []


def test_the_security_code_after_a_card_number_does_not_hide_the_card() -> None:
    assert found("4111 1111 1111 1111 123") == [("CARD", "4111 1111 1111 1111")]


@pytest.mark.parametrize(
    "iban",
    [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "de89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "FR14 2004 1010 0505 0001 3M02 606",
    ],
)
def test_an_iban_is_found_printed_or_electronic(iban: str) -> None:
    assert [("IBAN", iban)] == found(f"account {iban} and more text")


@pytest.mark.parametrize(
    "text", ["DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "DE89 3704 0044"]
)
def test_an_iban_with_a_wrong_check_or_length_or_country_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 192.168.1.10:8080", "192.168.1.10"),
        ("10.0.0.0/8", "10.0.0.0"),
        ("server 203.0.113.7.", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1: link-local", "fe80::1"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("::ffff:192.168.1.1, mapped", "::ffff:192.168.1.1"),
    ],
)
def test_an_ip_address_is_found(text: str, expected: str) -> None:
    assert [("IP", expected)] == found(text)


@pytest.mark.parametrize("text", ["123-45-6789", "SSN 123 45 6789"])
def test_a_social_security_number_is_found(text: str) -> None:
    assert [match.kind for match in find_pii(text)] == [PiiKind.SSN]


@pytest.mark.parametrize("ssn", ["000-12-3456", "666-12-3456", "912-34-5678", "123-00-4567", "123-45-0000"])
def test_a_social_security_number_that_is_never_given_is_none(ssn: str) -> None:
    assert found(ssn) == []


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15",
        "2024-01-15T10:30:00+01:00",
        "2024-01-15 10:30:00.123456+0000",
        "Mon Jan 1 12:00:00 +1000 2024",
        "01-02-2024 03-04-2024",
        "01.02.2024 10:30",
        "15/01/2024 to 16/02/2024",
        "1234567890",
        "order 20240115123456789",
        "1700000000000000 ns",
        "3.141592653589793",
        "0.5555555555554444",
        "v1.2.3.4",
        "version 1.2.3.4",
        "section 3.2.1.4",
        "1.3.6.1.4.1.311",
        "10.0.19041.1",
        "127.0.0.1 0.0.0.0 255.255.255.0 ::1",
        "300.1.1.1",
        "550e8400-e29b-41d4-a716-446655440000",
        "00:1b:44:11:3a:b7",
        "10:20:30",
        "std::vector<int> a::b x[1::2]",
        "id-415-555-2671",
        "415-555-2671-99",
        "415 555 2671",
        "342 12 2023",
        "2019 2020 2021 2022 2023 2024",
        "ISBN 978-0-306-40615-7",
        "pages 100-200, 300-400",
        "$1,234,567,890.12",
        "lodash@4.17.21",
        "icon@2x.png",
        "@mention and user@localhost",
        "a @ b.com",
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "+12",
        "x = 5 + 7",
        "007",
        "",
    ],
)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_what_could_be_two_kinds_is_the_surer_one() -> None:
    assert found("+4930123456789@example.com") == [("EMAIL", "+4930123456789@example.com")]


def test_matches_come_in_order_and_point_to_their_text() -> None:
    text = "call +49 30 1234567 or a@b.com from 10.1.2.3; a@b.com"

    matches = find_pii(text)

    assert [match.kind for match in matches] == [PiiKind.PHONE, PiiKind.EMAIL, PiiKind.IP, PiiKind.EMAIL]
    assert [match.value for match in matches] == [text[match.start : match.end] for match in matches]


def test_an_iban_within_another_one_is_part_of_it() -> None:
    inner = "AT61 1904 3002 3457 3201"
    candidates = (f"ES{check:02d} {inner}" for check in range(2, 99))
    outer = next(candidate for candidate in candidates if is_iban(candidate.replace(" ", "")))

    assert found(inner) == [("IBAN", inner)]
    assert found(outer) == [("IBAN", outer)]


def test_the_value_of_a_match_stays_out_of_its_repr() -> None:
    (match,) = find_pii("jane@example.com")

    assert "jane" not in repr(match)


@pytest.mark.parametrize("unit", FOR_PII)
def test_a_megabyte_made_to_confuse_is_read(unit: str) -> None:
    # A second or two; a quadratic scan would take hours, and `make bench-linear` would say so before.
    find_pii(megabyte_of(unit))

from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentflow.digest import Json
from scl.models import PiiKind
from scl.redaction import find_pii_in_json, redact_json, restore_json, tokens_in

PII = [
    "jane@example.com",
    "a-very-long-mailbox-name-indeed@department.example.org",
    "+49 30 1234567",
    "(415) 555-2671",
    "415-555-2671",
    "415 555 2671",
    "020 7946 0958",
    "4111 1111 1111 1111",
    "378282246310005",
    "DE89 3704 0044 0532 0130 00",
    "192.168.1.10",
    "2001:db8::ff00:42",
    "123-45-6789",
]
GLUE = [
    "",
    " ",
    "-",
    ".",
    "/",
    ", ",
    ":",
    "(",
    ")",
    "+",
    "tel ",
    "ssn ",
    "x",
    "7",
    "<",
    ">",
    "<EMAIL_0123456789ab>",
    "\n",
    "é",
]


class TokenBook:
    """Gives tokens and remembers what they stand for."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.asked: list[tuple[PiiKind, str]] = []

    def tokenise(self, kind: PiiKind, value: str) -> str:
        self.asked.append((kind, value))
        token = f"<{kind}_{sha256(value.encode(errors='surrogatepass')).hexdigest()[:12]}>"
        self.values[token] = value
        return token


texts = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PII + GLUE), max_size=12).map("".join),
    st.text(alphabet="0123456789 -./()+:@ab", max_size=60),
)
values: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(texts, children, max_size=4)),
    max_leaves=12,
)


@given(values)
def test_restoring_undoes_redacting(value: Json) -> None:
    book = TokenBook()

    redaction = redact_json(value, book.tokenise)

    assert value == restore_json(redaction.value, book.values)


@given(values)
@example("(415) 555-2671-(415) 555-2671")
@example("4111111111111111+14155552671")
@example("tel a-very-long-mailbox-name-indeed@department.example.org 415 555 2671")
@example("jane@example.comé415-555-2671")
@example("::010::+200000000")
@example("415-555-2671 123-45-6789-415-555-2671")
def test_redacting_twice_is_redacting_once(value: Json) -> None:
    book = TokenBook()

    once = redact_json(value, book.tokenise)
    twice = redact_json(once.value, book.tokenise)

    assert once.value == twice.value
    assert twice.matches == ()


@given(values)
def test_redacted_values_hold_nothing_that_would_be_found_again(value: Json) -> None:
    redaction = redact_json(value, TokenBook().tokenise)

    assert find_pii_in_json(redaction.value) == ()


@pytest.mark.parametrize("text", PII)
def test_each_kind_is_taken_out_of_a_nested_value(text: str) -> None:
    value: Json = {"people": [{"note": f"tel {text} (office)", "age": 41, "active": True, "boss": None}]}

    redaction = redact_json(value, TokenBook().tokenise)

    assert text not in str(redaction.value)
    assert len(redaction.matches) == 1


def test_a_token_that_is_already_there_is_left_alone_even_when_its_digits_look_like_something() -> None:
    text = "<PHONE_123456789012> and <CARD_411111111111>"

    redaction = redact_json(text, TokenBook().tokenise)

    assert text == redaction.value
    assert tokens_in(redaction.value) == ("<CARD_411111111111>", "<PHONE_123456789012>")


def test_names_of_members_and_numbers_stay_as_they_are() -> None:
    value: Json = {"jane@example.com": 4111111111111111}

    redaction = redact_json(value, TokenBook().tokenise)

    assert value == redaction.value
    assert redaction.matches == ()


def test_a_value_without_personal_data_is_handed_back_as_the_same_object() -> None:
    value: Json = {"a": ["nothing", {"to": "see"}]}

    assert redact_json(value, TokenBook().tokenise).value is value


def test_the_value_that_was_given_is_not_changed() -> None:
    value: Json = {"a": ["jane@example.com"]}

    redact_json(value, TokenBook().tokenise)

    assert value == {"a": ["jane@example.com"]}


def test_a_value_that_occurs_often_is_tokenised_once_and_counted_each_time() -> None:
    book = TokenBook()

    redaction = redact_json(["jane@example.com"] * 3 + ["to jane@example.com"], book.tokenise)

    assert book.asked == [(PiiKind.EMAIL, "jane@example.com")]
    assert len(redaction.matches) == 4


def test_unknown_tokens_stay_when_others_are_restored() -> None:
    restored = restore_json(["<IP_aaaaaaaaaaaa> <IP_bbbbbbbbbbbb>"], {"<IP_aaaaaaaaaaaa>": "10.1.2.3"})

    assert restored == ["10.1.2.3 <IP_bbbbbbbbbbbb>"]


def test_a_restored_value_is_not_read_for_tokens_again() -> None:
    mapping = {"<IP_aaaaaaaaaaaa>": "<IP_bbbbbbbbbbbb>", "<IP_bbbbbbbbbbbb>": "secret"}

    assert restore_json("<IP_aaaaaaaaaaaa>", mapping) == "<IP_bbbbbbbbbbbb>"


def test_nesting_deeper_than_the_interpreter_recurses_is_walked() -> None:
    value: Json = "jane@example.com"
    for _ in range(20_000):
        value = [value]
    book = TokenBook()

    redaction = redact_json(value, book.tokenise)

    assert tuple(book.values) == tokens_in(redaction.value)

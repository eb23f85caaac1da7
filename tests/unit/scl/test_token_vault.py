from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import ConfigurationError
from scl.errors import VaultKeyMismatch
from scl.models import PiiKind
from scl.token_vault import TOKEN_PATTERN, TokenVault

VAULT = TokenVault(bytes(range(32)))


@given(st.text(min_size=1), st.sampled_from(PiiKind), st.text())
def test_what_is_sealed_opens_again(org_id: str, kind: PiiKind, value: str) -> None:
    assert value == VAULT.open(org_id, VAULT.tokenise(org_id, kind, value))


def test_a_value_that_is_not_valid_unicode_is_kept_too() -> None:
    assert VAULT.open("org", VAULT.tokenise("org", PiiKind.EMAIL, "\ud800@example.com")) == "\ud800@example.com"


@pytest.mark.parametrize("kind", PiiKind)
def test_a_token_has_its_documented_form(kind: PiiKind) -> None:
    sealed = VAULT.tokenise("org", kind, "value")

    assert TOKEN_PATTERN.fullmatch(sealed.token)
    assert sealed.token.startswith(f"<{kind.value}_")


@pytest.mark.parametrize(
    "text",
    [
        "<EMAIL_1F3A9C0B2D4E>",
        "<EMAIL_1f3a9c0b2d4>",
        "<EMAIL_1f3a9c0b2d4e5>",
        "<EMAIL_1f3a9c0b2d4e5f6071823>",
        "<NAME_1f3a9c0b2d4e>",
        "EMAIL_1f3a9c0b2d4e",
        "<EMAIL_>",
    ],
)
def test_what_only_resembles_a_token_is_none(text: str) -> None:
    assert TOKEN_PATTERN.search(text) is None


def test_one_value_has_one_token_and_one_sealed_form() -> None:
    first = VAULT.tokenise("org", PiiKind.EMAIL, "jane@example.com")

    assert first == TokenVault(bytes(range(32))).tokenise("org", PiiKind.EMAIL, "jane@example.com")


def test_a_token_has_80_bits_and_one_of_48_is_still_known() -> None:
    token = VAULT.tokenise("org", PiiKind.EMAIL, "jane@example.com").token

    assert len("<EMAIL_>") + 20 == len(token)
    assert TOKEN_PATTERN.fullmatch(f"{token[:19]}>")


def test_organisations_kinds_values_and_keys_have_tokens_of_their_own() -> None:
    digests = {
        sealed.token[-21:]
        for sealed in (
            VAULT.tokenise("org-a", PiiKind.EMAIL, "x"),
            VAULT.tokenise("org-b", PiiKind.EMAIL, "x"),
            VAULT.tokenise("org-a", PiiKind.PHONE, "x"),
            VAULT.tokenise("org-a", PiiKind.EMAIL, "y"),
            TokenVault(bytes(32)).tokenise("org-a", PiiKind.EMAIL, "x"),
        )
    }

    assert len(digests) == 5


def test_no_two_values_organisations_or_kinds_have_one_nonce() -> None:
    sealed = [
        VAULT.tokenise(org_id, kind, f"jane{number}@example.com").sealed
        for org_id in ("org-a", "org-b")
        for kind in PiiKind
        for number in range(50)
    ]

    assert not any(b"jane" in content for content in sealed)
    assert len({content[:12] for content in sealed}) == len(sealed)


def test_nothing_but_the_same_organisation_token_kind_and_key_opens_it() -> None:
    sealed = VAULT.tokenise("org", PiiKind.EMAIL, "jane@example.com")
    attempts = [
        (VAULT, "other", sealed),
        (TokenVault(bytes(32)), "org", sealed),
        (VAULT, "org", replace(sealed, kind=PiiKind.PHONE)),
        (VAULT, "org", replace(sealed, token="<EMAIL_000000000000>")),
        (VAULT, "org", replace(sealed, sealed=sealed.sealed[:-1] + bytes([sealed.sealed[-1] ^ 1]))),
        (VAULT, "org", replace(sealed, sealed=sealed.sealed[:5])),
        (VAULT, "org", replace(sealed, sealed=b"")),
    ]

    for vault, org_id, altered in attempts:
        with pytest.raises(VaultKeyMismatch) as refusal:
            vault.open(org_id, altered)
        assert altered.token == refusal.value.token


def test_a_sealed_token_shows_no_content_in_its_repr() -> None:
    sealed = VAULT.tokenise("org", PiiKind.EMAIL, "jane@example.com")

    assert repr(sealed) == f"SealedToken(token={sealed.token!r}, kind={PiiKind.EMAIL!r})"


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_master_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigurationError, match="VAULT_KEY"):
        TokenVault(bytes(length))

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import ConfigurationError, PayloadCorrupt, PayloadKeyUnknown
from agentflow.payload_cipher import SEAL_BYTES, PayloadCipher, SealedPayload, open_payload_cipher
from agentflow.settings import Settings, load_settings

OLD, NEW = b"o" * 32, b"n" * 32


def cipher(active_key_id: str = "old", *, namespace: str = "default", **keys: bytes) -> PayloadCipher:
    return PayloadCipher(keys or {"old": OLD}, active_key_id=active_key_id, namespace=namespace)


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_again_and_is_little_longer(content: bytes) -> None:
    sealed = cipher().seal(content)

    assert content == cipher().open(sealed)
    assert len(content) + SEAL_BYTES == len(sealed.sealed)


def test_the_same_content_is_sealed_differently_every_time() -> None:
    assert 50 == len({cipher().seal(b"content").sealed for _ in range(50)})


def test_after_a_rotation_the_new_key_seals_and_the_old_one_still_opens() -> None:
    before, after = cipher("old", old=OLD), cipher("new", old=OLD, new=NEW)
    earlier = before.seal(b"earlier")

    assert ("new", b"earlier") == (after.seal(b"later").key_id, after.open(earlier))
    with pytest.raises(PayloadKeyUnknown, match="'new', which PAYLOAD_KEYS does not have"):
        before.open(after.seal(b"later"))


def test_a_payload_of_another_namespace_does_not_open() -> None:
    with pytest.raises(PayloadCorrupt):
        cipher(namespace="theirs").open(cipher(namespace="ours").seal(b"content"))


def test_a_payload_under_another_keys_name_does_not_open() -> None:
    both = cipher("old", old=OLD, new=OLD)

    with pytest.raises(PayloadCorrupt):
        both.open(replace(both.seal(b"content"), key_id="new"))


@given(st.integers(min_value=0, max_value=len(b"content") + SEAL_BYTES - 1), st.integers(min_value=1, max_value=255))
def test_a_payload_that_was_altered_anywhere_does_not_open(position: int, mask: int) -> None:
    sealed = bytearray(cipher().seal(b"content").sealed)
    sealed[position] ^= mask

    with pytest.raises(PayloadCorrupt):
        cipher().open(SealedPayload(key_id="old", sealed=bytes(sealed)))


@given(st.binary(max_size=60))
def test_what_was_never_sealed_does_not_open(rubbish: bytes) -> None:
    with pytest.raises(PayloadCorrupt) as refusal:
        cipher().open(SealedPayload(key_id="old", sealed=rubbish))

    assert refusal.value.__cause__ is None


def test_without_keys_nothing_is_encrypted() -> None:
    assert open_payload_cipher(Settings()) is None


def test_the_settings_keys_are_the_ciphers() -> None:
    settings = Settings(
        payload_keys={"old": encoded(OLD), "new": encoded(NEW)}, payload_key_id="new", temporal_namespace="ours"
    )

    opened = open_payload_cipher(settings)

    assert opened is not None
    assert b"content" == cipher("new", new=NEW, namespace="ours").open(opened.seal(b"content"))
    assert encoded(OLD) not in repr(settings)


@pytest.mark.parametrize(
    ("keys", "key_id", "said"),
    [
        ({"old": encoded(OLD)}, None, "PAYLOAD_KEY_ID is not set, and PAYLOAD_KEYS has these keys: old"),
        ({"old": encoded(OLD)}, "new", "PAYLOAD_KEY_ID names 'new', and PAYLOAD_KEYS has these keys: old"),
        ({}, "new", "PAYLOAD_KEY_ID names 'new', and PAYLOAD_KEYS has these keys: none"),
    ],
)
def test_an_active_key_that_is_not_there_is_refused(keys: dict[str, str], key_id: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_payload_cipher(Settings(payload_keys=keys, payload_key_id=key_id))


@pytest.mark.parametrize("key", ["c2hvcnQ=", "not base64!"])
def test_a_key_of_the_wrong_form_is_named_and_never_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match="the key 'mine' of PAYLOAD_KEYS") as refusal:
        load_settings(payload_keys={"mine": key})

    assert key not in str(refusal.value)


def test_a_key_of_the_codec_endpoint_is_long() -> None:
    with pytest.raises(ConfigurationError, match="CODEC_ENDPOINT_KEY"):
        load_settings(codec_endpoint_key="guessable")

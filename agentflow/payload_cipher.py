"""Encrypts what Temporal keeps, so that whoever runs or backs up the Temporal server cannot read it.

AES-256-GCM (NIST SP 800-38D). Random nonces under one key are good for 2^32 messages only (section 8.3 there), so each
message has a key of its own: HKDF-SHA256 (RFC 5869) of the configured key with a random salt. Namespace, key id and
what a payload is bound to are associated data: one that is moved to another namespace or workflow does not open.

Keys are rotated by adding one to PAYLOAD_KEYS everywhere, then naming it in PAYLOAD_KEY_ID; the old one stays until
Temporal has forgotten the last history that it encrypted.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentflow.digest import canonical_json
from agentflow.errors import ConfigurationError, PayloadCorrupt, PayloadKeyUnknown
from agentflow.settings import Settings

_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_PURPOSE = b"agentflow.payload.1"

#: What sealing adds: salt, nonce and authentication tag.
SEAL_BYTES = _SALT_BYTES + _NONCE_BYTES + 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPayload:
    """An encrypted payload, and the key that opens it."""

    key_id: str
    #: Salt, nonce, ciphertext and authentication tag, one after the other.
    sealed: bytes = field(repr=False)


class PayloadCipher:
    """Seals with the active key; opens with whichever of the keys sealed."""

    def __init__(self, keys: Mapping[str, bytes], *, active_key_id: str, namespace: str) -> None:
        self._keys, self._active_key_id, self._namespace = dict(keys), active_key_id, namespace

    def seal(self, content: bytes, *, bound_to: bytes | None = None) -> SealedPayload:
        """`content` encrypted, differently at every call, so that it opens for the same `bound_to` only."""
        key_id, salt, nonce = self._active_key_id, os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        ciphertext = self._message_key(key_id, salt).encrypt(nonce, content, self._associated_data(key_id, bound_to))
        return SealedPayload(key_id=key_id, sealed=salt + nonce + ciphertext)

    def open(self, payload: SealedPayload, *, bound_to: bytes | None = None) -> bytes:
        """The content; raises PayloadKeyUnknown, or PayloadCorrupt when it was altered or is for another place."""
        if payload.key_id not in self._keys:
            raise PayloadKeyUnknown(key_id=payload.key_id)
        salt, rest = payload.sealed[:_SALT_BYTES], payload.sealed[_SALT_BYTES:]
        nonce, ciphertext = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            cipher = self._message_key(payload.key_id, salt)
            return cipher.decrypt(nonce, ciphertext, self._associated_data(payload.key_id, bound_to))
        except (InvalidTag, ValueError):
            # ValueError: cut short, so that not even a nonce is left.
            raise PayloadCorrupt(key_id=payload.key_id) from None

    def _message_key(self, key_id: str, salt: bytes) -> AESGCM:
        key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=_PURPOSE).derive(self._keys[key_id])
        return AESGCM(key)

    def _associated_data(self, key_id: str, bound_to: bytes | None) -> bytes:
        place = [] if bound_to is None else [bound_to.decode(errors="replace")]
        return canonical_json([self._namespace, key_id, *place])


def open_payload_cipher(settings: Settings) -> PayloadCipher | None:
    """The cipher of the settings, None when payloads are not encrypted; raises ConfigurationError."""
    keys, key_id = settings.decoded_payload_keys(), settings.payload_key_id
    if not keys and key_id is None:
        return None
    if key_id is None or key_id not in keys:
        there = ", ".join(sorted(keys)) or "none"
        named = "is not set" if key_id is None else f"names {key_id!r}"
        raise ConfigurationError(
            f"PAYLOAD_KEY_ID {named}, and PAYLOAD_KEYS has these keys: {there}; "
            "name the one that is to encrypt, or unset both"
        )
    return PayloadCipher(keys, active_key_id=key_id, namespace=settings.temporal_namespace)

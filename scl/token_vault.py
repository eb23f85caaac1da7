"""Turns a value into a token that tells nothing, and into a sealed form that only its organisation's key opens.

Keys: HKDF-SHA256 (RFC 5869) of the 32-byte master key gives each organisation keys for tokens, for nonces and
for values. Token: the first 80 bits of HMAC-SHA256 over scope, kind and value; so one value has one token
throughout an organisation, and no relation to its token in another. Value: AES-256-GCM (NIST SP 800-38D),
bound to organisation, token and kind as associated data: a row that is moved to another organisation, token or
kind does not open. The nonce is the first 96 bits of another HMAC over the same: it comes again with the same
value only, whose sealed form then is the same. So two values behind one token can be told apart where they are
stored, without opening them.

80 bits are short enough for a model to copy; the chance that any two of ten million values of one kind share a
token is 4 in 10^11. Tokens of earlier versions have 48 bits, and are restored as ever.
"""

import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentflow.digest import canonical_json
from agentflow.errors import ConfigurationError
from scl.errors import VaultKeyMismatch
from scl.models import PiiKind

MASTER_KEY_BYTES = 32

_KEY_BYTES = 32
_NONCE_BYTES = 12
_TOKEN_HEX_DIGITS, _FORMER_HEX_DIGITS = 20, 12
_ORGANISATIONS_CACHED = 1024

#: A token as it stands in text, such as `<EMAIL_1f3a9c0b2d4e5f607182>`.
TOKEN_PATTERN = re.compile(
    f"<(?:{'|'.join(PiiKind)})_(?:[0-9a-f]{{{_TOKEN_HEX_DIGITS}}}|[0-9a-f]{{{_FORMER_HEX_DIGITS}}})>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedToken:
    """A token with the value behind it, encrypted."""

    token: str
    kind: PiiKind
    #: Nonce, ciphertext and authentication tag, one after the other.
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OrganisationKeys:
    """What is derived from the master key for one organisation."""

    token_key: bytes = field(repr=False)
    nonce_key: bytes = field(repr=False)
    value_cipher: AESGCM = field(repr=False)


class TokenVault:
    """Makes tokens and opens them again. Pure cryptography: storing what it seals is the repository's work.

    Raises ConfigurationError for a master key that is not 32 bytes.
    """

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise ConfigurationError(
                f"the vault's master key has {len(master_key)} bytes instead of {MASTER_KEY_BYTES}; "
                "make VAULT_KEY with: openssl rand -base64 32"
            )
        self._master_key = master_key
        self._keys = lru_cache(maxsize=_ORGANISATIONS_CACHED)(self._derive_keys)

    def tokenise(self, org_id: str, kind: PiiKind, value: str) -> SealedToken:
        """The token of `value` and the value sealed, the same at every call."""
        keys = self._keys(org_id)
        content = canonical_json([org_id, kind, value])
        token = f"<{kind}_{hmac.digest(keys.token_key, content, sha256).hex()[:_TOKEN_HEX_DIGITS]}>"
        nonce = hmac.digest(keys.nonce_key, content, sha256)[:_NONCE_BYTES]
        plaintext = value.encode("utf-8", errors="surrogatepass")
        sealed = nonce + keys.value_cipher.encrypt(nonce, plaintext, _associated_data(org_id, token, kind))
        return SealedToken(token=token, kind=kind, sealed=sealed)

    def open(self, org_id: str, sealed: SealedToken) -> str:
        """The value behind `sealed`.

        Raises VaultKeyMismatch when another key, organisation, token or kind sealed it, or when it was altered.
        """
        nonce, ciphertext = sealed.sealed[:_NONCE_BYTES], sealed.sealed[_NONCE_BYTES:]
        associated_data = _associated_data(org_id, sealed.token, sealed.kind)
        try:
            plaintext = self._keys(org_id).value_cipher.decrypt(nonce, ciphertext, associated_data)
        except (InvalidTag, ValueError) as error:
            # ValueError: cut short, so that not even a nonce is left.
            raise VaultKeyMismatch(token=sealed.token) from error
        return plaintext.decode("utf-8", errors="surrogatepass")

    def _derive_keys(self, org_id: str) -> _OrganisationKeys:
        return _OrganisationKeys(
            token_key=self._derive("token", org_id),
            nonce_key=self._derive("nonce", org_id),
            value_cipher=AESGCM(self._derive("value", org_id)),
        )

    def _derive(self, purpose: str, org_id: str) -> bytes:
        info = canonical_json(["agentflow.scl.vault.1", purpose, org_id])
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(self._master_key)


def _associated_data(org_id: str, token: str, kind: PiiKind) -> bytes:
    return f"{org_id}|{token}|{kind}".encode()

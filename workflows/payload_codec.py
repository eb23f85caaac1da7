"""The cipher as Temporal's clients and workers apply it: every payload goes to the server sealed.

Search attributes are not payloads in this sense: Temporal must read them, and nothing confidential belongs in them.
"""

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from agentflow.payload_cipher import PayloadCipher, SealedPayload

#: What Temporal's own samples call an encrypted payload and its key; the Web UI knows the former.
_ENCODING = b"binary/encrypted"
_KEY_ID = "encryption-key-id"


class EncryptingCodec(PayloadCodec):
    """Seals payloads whole, with their metadata; leaves alone what is not sealed, such as older history."""

    def __init__(self, cipher: PayloadCipher) -> None:
        self._cipher = cipher

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, sealed with the active key."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads as they were; raises PayloadKeyUnknown or PayloadCorrupt."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        sealed = self._cipher.seal(payload.SerializeToString())
        return Payload(metadata={"encoding": _ENCODING, _KEY_ID: sealed.key_id.encode()}, data=sealed.sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCODING:
            return payload
        key_id = payload.metadata.get(_KEY_ID, b"").decode(errors="replace")
        return Payload.FromString(self._cipher.open(SealedPayload(key_id=key_id, sealed=payload.data)))

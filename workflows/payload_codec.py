"""The cipher as Temporal's clients and workers apply it: every payload goes to the server sealed.

A payload is bound to the workflow, or to the kind of activity in a workflow, that it is for: its metadata says which,
and it opens for no other. So whoever can write to Temporal, without the keys, can neither make up a decision nor move
one. What is not acceptable becomes a payload that no converter reads: an update is rejected and a signal is dropped,
and the run goes on.

Search attributes are not payloads in this sense: Temporal must read them, and nothing confidential belongs in them.
"""

import json
from collections.abc import Sequence
from typing import Self

from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from agentflow.digest import canonical_json
from agentflow.errors import PayloadCorrupt, PayloadKeyUnknown
from agentflow.payload_cipher import PayloadCipher, SealedPayload
from agentflow.settings import PayloadsAccepted
from observability.telemetry.logging import get_logger

_log = get_logger(__name__)

#: What Temporal's own samples call an encrypted payload and its key; the Web UI knows the former.
_ENCODING = b"binary/encrypted"
_KEY_ID = "encryption-key-id"
#: What the payload is for, as it is authenticated.
_BOUND_TO = "bound-to"
#: What a workflow tells the Web UI of itself, such as where its nodes stand: names, states and codes, which Temporal
#: knows anyway. It is asked for, and stands in no history.
_METADATA = WorkflowMetadata.DESCRIPTOR.full_name.encode()
#: The encoding of what was not accepted; `history_limits` knows it, and no converter does.
REFUSED = b"agentflow/refused"


class EncryptingCodec(PayloadCodec, WithSerializationContext):
    """Seals payloads whole, with their metadata, and opens what `accepted` says.

    `any`: what is not sealed passes, such as history from before there were keys. `sealed`: what is sealed and bound
    to nothing opens anywhere, such as history from before payloads were bound. `bound`: neither.
    Without a context, as an operator's tools have none, a payload opens for whatever it is bound to.
    """

    def __init__(
        self, cipher: PayloadCipher, *, accepted: PayloadsAccepted = "any", bound_to: bytes | None = None
    ) -> None:
        self._cipher, self._accepted, self._bound_to = cipher, accepted, bound_to

    def with_context(self, context: SerializationContext) -> Self:
        """The same, for what belongs to one workflow or to a kind of activity in it."""
        return type(self)(self._cipher, accepted=self._accepted, bound_to=_binding(context))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, sealed with the active key."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads as they were, or a refused one; raises PayloadKeyUnknown, because keys come and go."""
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        if payload.metadata.get("messageType") == _METADATA:
            return payload
        sealed = self._cipher.seal(payload.SerializeToString(), bound_to=self._bound_to)
        metadata = {"encoding": _ENCODING, _KEY_ID: sealed.key_id.encode()}
        if self._bound_to is not None:
            metadata[_BOUND_TO] = self._bound_to
        return Payload(metadata=metadata, data=sealed.sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCODING:
            return payload if self._accepted == "any" else _refused("it is not sealed")
        bound_to = payload.metadata.get(_BOUND_TO)
        if bound_to is None and self._accepted == "bound":
            return _refused("it is bound to nothing")
        if None not in (bound_to, self._bound_to) and bound_to != self._bound_to:
            return _refused("it is bound to something else")
        key_id = payload.metadata.get(_KEY_ID, b"").decode(errors="replace")
        sealed = SealedPayload(key_id=key_id, sealed=payload.data)
        try:
            return Payload.FromString(self._cipher.open(sealed, bound_to=bound_to))
        except PayloadCorrupt:
            return _refused(f"the key {key_id!r} does not open it: it was altered, or made up")
        except PayloadKeyUnknown:
            # Ends this workflow task or activity alone, which Temporal tries again: the key may come back.
            run_id = json.loads(self._bound_to)[1] if self._bound_to is not None else None
            _log.error("payload.key_unknown", run_id=run_id, key_id=key_id)
            raise


def _binding(context: SerializationContext) -> bytes | None:
    """What a payload is bound to: what both ends of its way know alike."""
    match context:
        case WorkflowSerializationContext():
            return canonical_json(["workflow", context.workflow_id])
        case ActivitySerializationContext() if context.workflow_id is not None and context.activity_type is not None:
            return canonical_json(["activity", context.workflow_id, context.activity_type])
        case _:
            return None


def _refused(reason: str) -> Payload:
    _log.error("payload.refused", reason=reason)
    return Payload(metadata={"encoding": REFUSED}, data=reason.encode())

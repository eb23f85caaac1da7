import pytest
from temporalio.api.common.v1 import Payload

from agentflow.errors import PayloadKeyUnknown
from agentflow.payload_cipher import PayloadCipher
from workflows.payload_codec import EncryptingCodec

PAYLOADS = [
    Payload(metadata={"encoding": b"json/plain"}, data=b'{"secret": 1}'),
    Payload(metadata={"encoding": b"binary/null"}),
]


def codec(key_id: str = "a") -> EncryptingCodec:
    return EncryptingCodec(PayloadCipher({key_id: b"k" * 32}, active_key_id=key_id, namespace="default"))


async def test_payloads_are_sealed_whole_and_come_back_as_they_were() -> None:
    sealed = await codec().encode(PAYLOADS)

    assert [b"binary/encrypted"] * 2 == [payload.metadata["encoding"] for payload in sealed]
    assert not any(b"secret" in payload.SerializeToString() for payload in sealed)
    assert PAYLOADS == await codec().decode(sealed)


async def test_what_is_not_sealed_is_left_as_it_is() -> None:
    assert PAYLOADS == await codec().decode(PAYLOADS)


@pytest.mark.parametrize("metadata", [{}, {"encryption-key-id": b"b"}, {"encryption-key-id": b"\xff"}])
async def test_a_key_that_is_missing_or_unknown_is_told(metadata: dict[str, bytes]) -> None:
    payload = Payload(metadata={"encoding": b"binary/encrypted", **metadata}, data=b"x" * 80)

    with pytest.raises(PayloadKeyUnknown):
        await codec().decode([payload])

from typing import Literal

import pytest
from structlog.testing import capture_logs
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    SerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from agentflow.errors import PayloadKeyUnknown
from agentflow.payload_cipher import PayloadCipher
from workflows.history_limits import PAYLOAD_REFUSED, BoundedPayloadConverter
from workflows.payload_codec import REFUSED, EncryptingCodec

PAYLOADS = [
    Payload(metadata={"encoding": b"json/plain"}, data=b'{"secret": 1}'),
    Payload(metadata={"encoding": b"binary/null"}),
]


def run_of(workflow_id: str) -> SerializationContext:
    return WorkflowSerializationContext(namespace="default", workflow_id=workflow_id)


def activity_of(workflow_id: str, activity_type: str, *, activity_id: str | None = None) -> SerializationContext:
    return ActivitySerializationContext(
        namespace="default",
        activity_id=activity_id,
        activity_type=activity_type,
        activity_task_queue="q",
        workflow_id=workflow_id,
        workflow_type="AgentDag",
        is_local=False,
    )


CONTEXTS = [run_of("run_1"), run_of("run_2"), activity_of("run_1", "close_gate"), activity_of("run_1", "open_gate")]


def codec(
    key_id: str = "a",
    *,
    context: SerializationContext | None = None,
    accepted: Literal["any", "sealed", "bound"] = "sealed",
) -> EncryptingCodec:
    cipher = PayloadCipher({key_id: b"k" * 32}, active_key_id=key_id, namespace="default")
    made = EncryptingCodec(cipher, accepted=accepted)
    return made if context is None else made.with_context(context)


def encodings(payloads: list[Payload]) -> set[bytes]:
    return {payload.metadata["encoding"] for payload in payloads}


@pytest.mark.parametrize("context", [None, *CONTEXTS])
async def test_payloads_are_sealed_whole_and_come_back_as_they_were(context: SerializationContext | None) -> None:
    sealed = await codec(context=context).encode(PAYLOADS)

    assert [b"binary/encrypted"] * 2 == [payload.metadata["encoding"] for payload in sealed]
    assert not any(b"secret" in payload.SerializeToString() for payload in sealed)
    assert PAYLOADS == await codec(context=context).decode(sealed)


@pytest.mark.parametrize("there", CONTEXTS)
@pytest.mark.parametrize("here", CONTEXTS)
async def test_a_payload_opens_where_it_is_for_and_nowhere_else(
    here: SerializationContext, there: SerializationContext
) -> None:
    opened = await codec(context=there).decode(await codec(context=here).encode(PAYLOADS))

    assert (opened == PAYLOADS) if here is there else (encodings(opened) == {REFUSED})


async def test_the_two_ends_of_an_activity_need_not_know_its_id_alike() -> None:
    sealed = await codec(context=activity_of("run_1", "close_gate")).encode(PAYLOADS)

    assert PAYLOADS == await codec(context=activity_of("run_1", "close_gate", activity_id="7")).decode(sealed)


async def test_an_operator_without_a_context_opens_what_is_bound() -> None:
    sealed = await codec(context=CONTEXTS[0]).encode(PAYLOADS)

    assert PAYLOADS == await codec().decode(sealed)


@pytest.mark.parametrize("bound_to", [None, b'["workflow","run_2"]'])
async def test_what_a_payload_is_bound_to_cannot_be_changed(bound_to: bytes | None) -> None:
    [payload] = await codec(context=run_of("run_1")).encode(PAYLOADS[:1])
    metadata = {name: value for name, value in payload.metadata.items() if name != "bound-to"}
    moved = Payload(metadata=metadata if bound_to is None else {**metadata, "bound-to": bound_to}, data=payload.data)

    assert {REFUSED} == encodings(await codec(context=run_of("run_2")).decode([moved]))


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 80, b"x" * 100_000])
@pytest.mark.parametrize("bound_to", [None, b"", b'["workflow","run_1"]', b"\xff"])
@pytest.mark.parametrize("context", [None, CONTEXTS[0]])
async def test_what_no_key_has_sealed_is_refused(
    data: bytes, bound_to: bytes | None, context: SerializationContext | None
) -> None:
    metadata = {"encoding": b"binary/encrypted", "encryption-key-id": b"a"}
    forged = Payload(metadata=metadata if bound_to is None else {**metadata, "bound-to": bound_to}, data=data)
    [sealed] = await codec(context=context).encode(PAYLOADS[:1])

    opened = await codec(context=context).decode([forged, sealed])

    assert [REFUSED, PAYLOADS[0].metadata["encoding"]] == [payload.metadata["encoding"] for payload in opened]


@pytest.mark.parametrize(
    ("accepted", "plain", "unbound"), [("any", True, True), ("sealed", False, True), ("bound", False, False)]
)
async def test_the_setting_says_what_is_accepted(
    accepted: Literal["any", "sealed", "bound"], plain: bool, unbound: bool
) -> None:
    reader = codec(context=CONTEXTS[0], accepted=accepted)

    from_before_keys = await reader.decode(PAYLOADS)
    from_before_binding = await reader.decode(await codec().encode(PAYLOADS))

    assert (plain, unbound) == (from_before_keys == PAYLOADS, from_before_binding == PAYLOADS)
    assert plain or {REFUSED} == encodings(from_before_keys)
    assert unbound or {REFUSED} == encodings(from_before_binding)


@pytest.mark.parametrize("metadata", [{}, {"encryption-key-id": b"b"}, {"encryption-key-id": b"\xff"}])
async def test_a_key_that_is_missing_or_unknown_is_told(metadata: dict[str, bytes]) -> None:
    payload = Payload(metadata={"encoding": b"binary/encrypted", **metadata}, data=b"x" * 80)

    with pytest.raises(PayloadKeyUnknown):
        await codec().decode([payload])


@pytest.mark.parametrize(("context", "run_id"), [(None, None), (CONTEXTS[0], "run_1"), (CONTEXTS[2], "run_1")])
async def test_the_log_names_the_run_and_the_key_that_is_unknown_once(
    context: SerializationContext | None, run_id: str | None
) -> None:
    sealed = await codec("b", context=context).encode(PAYLOADS)

    with capture_logs() as logs, pytest.raises(PayloadKeyUnknown):
        await codec(context=context).decode(sealed)

    expected = {"event": "payload.key_unknown", "log_level": "error", "run_id": run_id, "key_id": "b"}
    assert [expected] == [{name: log.get(name) for name in expected} for log in logs]


async def test_a_refused_payload_is_an_error_that_no_attempt_repeats() -> None:
    converter = DataConverter(payload_converter_class=BoundedPayloadConverter, payload_codec=codec()).with_context(
        run_of("run_1")
    )

    with pytest.raises(ApplicationError, match="workflow 'run_1' was refused") as refusal:
        await converter.decode(PAYLOADS, [dict])

    assert (PAYLOAD_REFUSED, True) == (refusal.value.type, refusal.value.non_retryable)


async def test_what_the_web_ui_is_told_of_a_run_stays_readable_and_is_taken_from_nobody() -> None:
    [told] = DataConverter.default.payload_converter.to_payloads([WorkflowMetadata(current_details="**1 node**")])

    [sent] = await codec(context=run_of("run_1")).encode([told])

    assert told == sent
    assert {REFUSED} == encodings(await codec(context=run_of("run_1"), accepted="sealed").decode([sent]))

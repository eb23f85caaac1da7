"""Keeps history small at its edge: what does not fit is refused before it leaves, and errors are cut.

What travels is references and facts, so nothing comes near the limit unless a workflow's code is wrong; then this
names the activity, where Temporal would only say that a blob is too large, or suffer it.
"""

from collections.abc import Sequence
from typing import Any, Self

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    ActivitySerializationContext,
    DefaultFailureConverter,
    DefaultPayloadConverter,
    PayloadConverter,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from workflows.payload_codec import REFUSED
from workflows.run_failure import RunFailed

#: No payload in a history is larger.
MAX_PAYLOAD_BYTES = 64 * 1024
#: What encryption and its metadata may add.
_MARGIN_BYTES = 512
PAYLOAD_TOO_LARGE = "payload.too_large"
PAYLOAD_REFUSED = "payload.refused"

#: As JSON, where a character has up to twelve bytes, both together stay below MAX_PAYLOAD_BYTES.
_MESSAGE_CHARACTERS = 2_000
_STACK_TRACE_CHARACTERS = 3_000
_CAUSES = 4


class BoundedPayloadConverter(PayloadConverter, WithSerializationContext):
    """Temporal's own converter, with a limit; raises an ApplicationError that is not worth another attempt."""

    def __init__(self, where: str = "a workflow") -> None:
        self._converter, self._where = DefaultPayloadConverter(), where

    def with_context(self, context: SerializationContext) -> Self:
        """The same, knowing whose values it converts."""
        if isinstance(context, ActivitySerializationContext):
            return type(self)(f"activity {context.activity_type!r} of workflow {context.workflow_id!r}")
        if isinstance(context, WorkflowSerializationContext):
            return type(self)(f"workflow {context.workflow_id!r}")
        return self

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """The values as payloads, none of which is too large."""
        payloads = self._converter.to_payloads(values)
        for payload in payloads:
            size_bytes = payload.ByteSize()
            if size_bytes > MAX_PAYLOAD_BYTES - _MARGIN_BYTES:
                raise ApplicationError(
                    f"a value that {self._where} takes or gives has {size_bytes:,} bytes, and history takes "
                    f"{MAX_PAYLOAD_BYTES:,}: store it, and pass its digest",
                    type=PAYLOAD_TOO_LARGE,
                    non_retryable=True,
                )
        return payloads

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values, whatever their size: an older history may hold larger ones.

        Raises an ApplicationError for what the codec has refused: an update is rejected by it, a signal dropped.
        """
        if any(payload.metadata.get("encoding") == REFUSED for payload in payloads):
            raise ApplicationError(
                f"a payload of {self._where} was refused: it is not sealed, was altered, or is for another workflow "
                "or activity",
                type=PAYLOAD_REFUSED,
                non_retryable=True,
            )
        return self._converter.from_payloads(payloads, type_hints)


class BoundedFailureConverter(DefaultFailureConverter):
    """Cuts messages, stack traces and chains of causes."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Called for each cause, too."""
        super().to_failure(exception, payload_converter, failure)
        failure.message = failure.message[:_MESSAGE_CHARACTERS]
        # The end is where it happened.
        failure.stack_trace = failure.stack_trace[-_STACK_TRACE_CHARACTERS:]
        deepest = failure
        for _ in range(_CAUSES):
            if not deepest.HasField("cause"):
                return
            deepest = deepest.cause
        deepest.ClearField("cause")


class SealedFailureConverter(BoundedFailureConverter):
    """Puts message and stack trace, which may quote content, where the codec encrypts them.

    What stays readable of a run's failure is which node failed, and its code.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Called for each cause, too."""
        super().to_failure(exception, payload_converter, failure)
        told = {"message": failure.message, "stack_trace": failure.stack_trace}
        failure.encoded_attributes.CopyFrom(payload_converter.to_payloads([told])[0])
        readable = exception.headline if isinstance(exception, RunFailed) else "Encoded failure"
        failure.message, failure.stack_trace = readable, ""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.failure.v1 import Failure
from temporalio.converter import ActivitySerializationContext, DataConverter
from temporalio.exceptions import ApplicationError

from agentflow.settings import Settings
from workflows.history_limits import (
    MAX_PAYLOAD_BYTES,
    PAYLOAD_TOO_LARGE,
    BoundedFailureConverter,
    BoundedPayloadConverter,
    SealedFailureConverter,
)
from workflows.temporal_connection import data_converter

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SETTINGS = {"plain": Settings(), "sealed": Settings(payload_keys={"a": KEY}, payload_key_id="a")}


@pytest.fixture(params=["plain", "sealed"])
def converter(request: pytest.FixtureRequest) -> DataConverter:
    return data_converter(SETTINGS[request.param])


async def test_what_just_fits_stays_below_the_limit_and_comes_back(converter: DataConverter) -> None:
    largest = "x" * 64_900

    payloads = await converter.encode([largest, 1])

    assert max(payload.ByteSize() for payload in payloads) <= MAX_PAYLOAD_BYTES
    assert [largest, 1] == await converter.decode(payloads)


async def test_what_is_too_large_is_refused_for_good_and_the_activity_named(converter: DataConverter) -> None:
    context = ActivitySerializationContext(
        namespace="default",
        activity_id="1",
        activity_type="open_run",
        activity_task_queue="runs",
        workflow_id="run_1",
        workflow_type="AgentDag",
        is_local=False,
    )

    with pytest.raises(
        ApplicationError, match="activity 'open_run' of workflow 'run_1' takes or gives has 6"
    ) as refusal:
        await converter.with_context(context).encode(["x" * 65_100])

    assert (PAYLOAD_TOO_LARGE, True) == (refusal.value.type, refusal.value.non_retryable)


async def test_what_an_older_history_holds_can_be_read_whatever_its_size() -> None:
    payloads = await DataConverter.default.encode(["x" * 100_000])

    assert ["x" * 100_000] == await data_converter(Settings()).decode(payloads)


def chained(depth: int) -> Exception:
    error = ApplicationError("outermost", type="our.code", non_retryable=True)
    place: BaseException = error
    for number in range(depth):
        place.__cause__ = ApplicationError(f"cause {number}")
        place = place.__cause__
    return error


def test_a_chain_of_causes_is_cut() -> None:
    failure = Failure()

    BoundedFailureConverter().to_failure(chained(40), BoundedPayloadConverter(), failure)

    depth, place = 0, failure
    while place.HasField("cause"):
        depth, place = depth + 1, place.cause
    assert (4, "outermost", "our.code") == (depth, failure.message, failure.application_failure_info.type)


async def test_an_error_says_nothing_where_payloads_are_sealed_and_all_of_it_to_those_who_have_the_key() -> None:
    sealing, failure = data_converter(SETTINGS["sealed"]), Failure()
    error = ApplicationError("secret of Ada", type="our.code")
    error.__cause__ = ValueError("secret cause")

    await sealing.encode_failure(error, failure)

    assert b"secret" not in failure.SerializeToString()
    assert "our.code" == failure.application_failure_info.type
    opened = await sealing.decode_failure(failure)
    assert ("secret of Ada", "secret cause") == (
        str(opened).partition(": ")[2],
        getattr(opened.__cause__, "message", ""),
    )


@settings(max_examples=20)
@given(st.text(max_size=100))
def test_whatever_an_error_says_its_failure_fits(message: str) -> None:
    failure = Failure()

    SealedFailureConverter().to_failure(
        ApplicationError(message + "\U0001f600" * 9_000), BoundedPayloadConverter(), failure
    )

    assert failure.encoded_attributes.ByteSize() <= MAX_PAYLOAD_BYTES
    assert 2_000 == len(json.loads(failure.encoded_attributes.data)["message"])

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from agentflow.settings import Settings
from workflows.run_failure import RunFailed
from workflows.temporal_connection import data_converter

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SEALED = Settings(payload_keys={"a": KEY}, payload_key_id="a")


@pytest.mark.parametrize(
    ("failed_node", "readable"),
    [("ask", "node 'ask' failed: answer.cut"), (None, "the run failed: answer.cut")],
)
async def test_of_a_sealed_failure_the_node_and_the_code_stay_readable_and_nothing_else(
    failed_node: str | None, readable: str
) -> None:
    failure, converter = Failure(), data_converter(SEALED)

    await converter.encode_failure(RunFailed(code="answer.cut", message="the secret", failed_node=failed_node), failure)

    assert readable == failure.message
    assert b"secret" not in failure.SerializeToString()
    told = await converter.decode_failure(failure)
    assert isinstance(told, ApplicationError)
    assert f"{readable}: the secret" == told.message

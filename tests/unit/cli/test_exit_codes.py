import click
import pytest

from agentflow.client import ApiRequestFailed, ApiUnreachable, WaitTimedOut
from agentflow.errors import BlobNotFound, ConfigurationError
from cli.embedded.errors import PortTaken
from cli.exit_codes import ExitCode, exit_code_of, exit_code_of_run


def refused(status: int) -> ApiRequestFailed:
    return ApiRequestFailed(status=status, problem_code="some.code", detail="no", problems=[])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("no"), ExitCode.USAGE),
        (click.BadParameter("no"), ExitCode.USAGE),
        (click.ClickException("no"), ExitCode.ERROR),
        (refused(401), ExitCode.NOT_AUTHORISED),
        (refused(403), ExitCode.NOT_AUTHORISED),
        (refused(400), ExitCode.ERROR),
        (refused(404), ExitCode.ERROR),
        (refused(500), ExitCode.ERROR),
        (ApiUnreachable(url="http://a", reason="refused"), ExitCode.ERROR),
        (WaitTimedOut(run_id="run_1", seconds=1), ExitCode.CANCELLED),
        (ConfigurationError("no"), ExitCode.ERROR),
        (BlobNotFound(digest="0"), ExitCode.ERROR),
        (PortTaken(port=1, option="--api-port"), ExitCode.ERROR),
    ],
    ids=repr,
)
def test_every_error_that_people_may_see_has_a_code(error: Exception, code: ExitCode) -> None:
    assert code is exit_code_of(error)


@pytest.mark.parametrize("defect", [ValueError("no"), KeyError("no"), OSError(5, "no")])
def test_a_defect_has_no_code(defect: Exception) -> None:
    assert exit_code_of(defect) is None


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("succeeded", ExitCode.OK),
        ("failed", ExitCode.RUN_FAILED),
        ("cancelled", ExitCode.CANCELLED),
        ("a state of a later version", ExitCode.RUN_FAILED),
    ],
)
def test_a_runs_end_is_told_by_the_code(state: str, code: ExitCode) -> None:
    assert code is exit_code_of_run(state)


def test_the_codes_are_a_contract_with_scripts() -> None:
    expected = {"OK": 0, "ERROR": 1, "USAGE": 2, "CANCELLED": 3, "NOT_AUTHORISED": 4, "RUN_FAILED": 5}

    assert expected == {code.name: code.value for code in ExitCode}

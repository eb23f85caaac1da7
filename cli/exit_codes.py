"""What the exit code of `agentctl` says, for scripts."""

from enum import IntEnum

import click


class ExitCode(IntEnum):
    """The contract with scripts; listed in `agentctl --help`."""

    OK = 0
    ERROR = 1
    USAGE = 2
    CANCELLED = 3
    NOT_AUTHORISED = 4
    RUN_FAILED = 5


#: Stable codes of errors (agentflow.errors) that do not mean "error".
_BY_ERROR_CODE = {"client.wait_timed_out": ExitCode.CANCELLED}


def exit_code_of(error: Exception) -> ExitCode | None:
    """The exit code for an error that people may see; None for a defect, which shows itself whole."""
    if isinstance(error, click.UsageError):
        return ExitCode.USAGE
    if isinstance(error, click.ClickException):
        return ExitCode.ERROR
    from agentflow.errors import AgentflowError

    if not isinstance(error, AgentflowError):
        return None
    if getattr(error, "status", None) in {401, 403}:
        return ExitCode.NOT_AUTHORISED
    return _BY_ERROR_CODE.get(error.code, ExitCode.ERROR)


def exit_code_of_run(state: str) -> ExitCode:
    """The exit code for a run that ended in `state`."""
    if state == "succeeded":
        return ExitCode.OK
    return ExitCode.CANCELLED if state == "cancelled" else ExitCode.RUN_FAILED

"""Temporal updates of runs, and the words for what can go wrong with one."""

from typing import Any

from temporalio.client import Client, RPCTimeoutOrCancelledError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from runs.errors import DecisionStale, GateClosed, GateNotReady
from workflows.gates import STALE


async def update_run(
    temporal: Client, workflow_id: str, name: str, value: Any, *, update_id: str | None, gate_id: str
) -> bool:
    """Whether the run has taken a decision or an event; False when it does not at this moment.

    Raises DecisionStale, GateClosed when the run has ended, and GateNotReady when nobody answers.
    """
    try:
        await temporal.get_workflow_handle(workflow_id).execute_update(name, value, id=update_id)
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        if isinstance(cause, ApplicationError) and cause.type == STALE:
            raise DecisionStale(gate_id=gate_id) from error
        # The row says open: the run has not read that yet, is between two histories, or just decided.
        return False
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise GateClosed(gate_id=gate_id, state="ended with its run") from error
        raise GateNotReady(gate_id=gate_id) from error
    except (RuntimeError, RPCTimeoutOrCancelledError) as error:
        # RuntimeError: the client has never been connected, and Temporal is away.
        raise GateNotReady(gate_id=gate_id) from error
    return True

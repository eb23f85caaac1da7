"""Starting, telling and cancelling the workflow of a run; all of it may be repeated without harm."""

from collections.abc import Iterable

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from observability.telemetry.logging import get_logger
from runs.admission_models import fairness_key_of
from runs.models import Run
from workflows.dag_run import AgentDag
from workflows.run_attributes import attributes_of_run, summary_of

_log = get_logger(__name__)


async def start_run(temporal: Client, run: Run) -> bool:
    """Starts the workflow of `run`, whose id is the run's; False when it has been started, and has ended, before.

    Raises RPCError.
    """
    reference = RunRef(
        org_id=run.org_id,
        run_id=run.run_id,
        plan_digest=run.plan_digest,
        inputs_digest=run.inputs_digest,
        asks_anew=run.rerun_of is not None,
    )
    try:
        await temporal.start_workflow(
            AgentDag.run,
            RunStart(run=reference),
            id=run.run_id,
            task_queue=RUNS_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            # Its activities and shards have the same, unless they say otherwise.
            priority=_priority(run),
            static_summary=summary_of(name=run.workflow_name, version=run.workflow_version),
            search_attributes=attributes_of_run(
                org_id=run.org_id, workflow_name=run.workflow_name, workflow_version=str(run.workflow_version)
            ),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def start_soon(temporal: Client, run: Run) -> None:
    """As `start_run`; when Temporal is away the sweeper starts the run, which is recorded, when it is back."""
    try:
        await start_run(temporal, run)
    except (RPCError, RuntimeError) as error:
        _log.warning("run.start_delayed", run_id=run.run_id, reason=type(error).__name__)


async def tell_run(temporal: Client, *, run_id: str, signal: str) -> None:
    """Tells the workflow of a run something; one that has ended, or has not started, is left alone. Raises RPCError."""
    try:
        await temporal.get_workflow_handle(run_id).signal(signal)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def start_each(temporal: Client, runs: Iterable[Run]) -> None:
    """`start_soon` for each of the runs that were let in."""
    for run in runs:
        await start_soon(temporal, run)


async def cancel_run(temporal: Client, *, run_id: str) -> None:
    """Asks the workflow of a run to stop; one that has ended, or never started, is left alone. Raises RPCError."""
    try:
        await temporal.get_workflow_handle(run_id).cancel()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _priority(run: Run) -> Priority:
    return Priority(
        priority_key=run.priority,
        fairness_key=run.fairness_key or fairness_key_of(run.org_id, None),
        fairness_weight=run.fairness_weight,
    )

"""What the database says of a run, against what a workflow says: payloads come from whoever reaches Temporal."""

from temporalio import activity

from activities.payloads import RunRef
from runs.errors import RunMismatch, RunNotFound
from runs.models import Run


def require_own_workflow(run: RunRef) -> None:
    """Raises RunMismatch where the activity is not of the run's own workflow, whose id is the run's."""
    if activity.info().workflow_id != run.run_id:
        raise RunMismatch(run_id=run.run_id)


def require_recorded(run: RunRef, recorded: Run | None) -> Run:
    """The run as it is recorded for the organisation that `run` names.

    Raises RunNotFound, or RunMismatch when another plan or other inputs are recorded.
    """
    if recorded is None:
        raise RunNotFound(run_id=run.run_id)
    if (recorded.plan_digest, recorded.inputs_digest) != (run.plan_digest, run.inputs_digest):
        raise RunMismatch(run_id=run.run_id)
    return recorded

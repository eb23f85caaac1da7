"""What the database says of a run, against what a workflow says: payloads come from whoever reaches Temporal."""

from typing import Any

from temporalio import activity

from activities.payloads import RunRef
from runs.errors import RunMismatch


def run_named_by(call: Any) -> RunRef | None:
    """The run that an activity's argument is about; None for what is about none."""
    if isinstance(call, RunRef):
        return call
    run = getattr(call, "run", None) or getattr(getattr(call, "step", None), "run", None)
    return run if isinstance(run, RunRef) else None


def require_own_workflow(run: RunRef) -> None:
    """Raises RunMismatch where the activity is not of the run's own workflow, whose id is the run's."""
    if activity.info().workflow_id != run.run_id:
        raise RunMismatch(run_id=run.run_id)

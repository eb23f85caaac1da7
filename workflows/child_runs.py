"""Runs below a run: recorded, started as child workflows, and their outputs recorded as the step's own."""

import asyncio
from contextlib import suppress
from types import NoneType

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.payloads import (
        FAIL_CHILD,
        OPEN_CHILD,
        SETTLE_NODE,
        ChildCall,
        ChildFailure,
        OpenedChild,
        RunResult,
        RunStart,
        SettleCall,
        StepCall,
        StepDone,
    )
    from runs.facts import FINISH_REASON, finish_fact
    from workflows.run_attributes import attributes_of_child
    from workflows.step_calls import BOOKKEEPING, NodeFailed, execute
    from workflows.throttle import Throttle

#: The interpreter, which runs everything.
AGENT_DAG = "AgentDag"


async def settle(call: StepCall, done: StepDone, *, kind: str) -> StepDone:
    """Records what the parts of a node came to as the node's own result; raises as `execute`."""
    facts = finish_fact(done.facts.get(FINISH_REASON))
    settling = SettleCall(step=call, kind=kind, digest=done.digest, facts=facts)
    return await execute(SETTLE_NODE, settling, StepDone, **BOOKKEEPING)


async def run_child(call: StepCall, throttle: Throttle) -> StepDone:
    """The outputs of the run below a step; raises as `execute`."""
    began = workflow.time()
    try:
        opened = await execute(OPEN_CHILD, ChildCall(step=call), OpenedChild, **BOOKKEEPING)
        digest = opened.outputs_digest or await _outputs_of(opened, throttle)
    except NodeFailed as failure:
        if workflow.patched("failed-runs-below"):
            await _record_failure(call, failure, seconds=workflow.time() - began)
        raise
    settling = SettleCall(
        step=call, kind="workflow", digest=digest, child_run_id=opened.run.run_id, seconds=workflow.time() - began
    )
    return await execute(SETTLE_NODE, settling, StepDone, **BOOKKEEPING)


async def _record_failure(call: StepCall, failure: NodeFailed, *, seconds: float) -> None:
    told = ChildFailure(step=call, error_code=failure.code, error_message=failure.message, seconds=seconds)
    # A step is told as failed all the same, where even that cannot be recorded.
    with suppress(NodeFailed):
        await execute(FAIL_CHILD, told, NoneType, **BOOKKEEPING)


async def _outputs_of(opened: OpenedChild, throttle: Throttle) -> str:
    """Runs the run below; the digest of its outputs."""
    child_id, is_paused = opened.run.run_id, throttle.is_paused
    own = workflow.info().typed_search_attributes
    try:
        handle = await workflow.start_child_workflow(
            AGENT_DAG,
            RunStart(run=opened.run, is_paused=is_paused),
            id=child_id,
            result_type=RunResult,
            cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            static_summary=opened.name,
            search_attributes=attributes_of_child(own, org_id=opened.run.org_id, name=opened.name),
        )
        with throttle.telling(handle, is_paused=is_paused):
            result: RunResult = await handle
    except ChildWorkflowError as error:
        if is_cancelled_exception(error):
            if _is_wanted() or not workflow.patched("cancelled-below"):
                raise asyncio.CancelledError from error
            raise NodeFailed("workflow.cancelled", f"run {child_id} was cancelled") from error
        cause = error.cause
        code = cause.type if isinstance(cause, ApplicationError) and cause.type else "workflow.failed"
        message = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
        raise NodeFailed(code, f"run {child_id}: {message}") from error
    except FailureError as error:
        raise NodeFailed("workflow.failed", f"run {child_id} did not start: {error.message}") from error
    return str(result.outputs_digest)


def _is_wanted() -> bool:
    """Whether it is us who cancel what runs below, and not somebody who has cancelled just that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""The outermost view of an activity: who the step is, how long it took, what it became; and errors as Temporal's.

Spans are written in the transaction that records the step's result, so that a trace never tells of a step that
the journal does not know, nor the other way round.
"""

import asyncio
import time
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.payloads import StepCall
from activities.resources import Resources
from activities.retry_posture import to_application_error, unexpected_error
from activities.step_context import Ending, StepContext, enter_step
from activities.step_retries import as_failure
from agentflow.errors import AgentflowError
from agentflow.statements import Statement
from observability.repository import add_statement
from observability.telemetry import attributes as names
from observability.telemetry.logging import get_logger
from observability.telemetry.span_record import Outcome, step_span

_log = get_logger(__name__)


class TracingInterceptor(Interceptor):
    """Makes the step's context, and turns what an activity raises into what Temporal records."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Temporal's hook."""
        return _Inbound(next, self._resources)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, resources: Resources) -> None:
        super().__init__(inner)
        self._resources = resources

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        call = input.args[0] if input.args else None
        try:
            if isinstance(call, StepCall):
                return await self._step(call, input)
            return await self.next.execute_activity(input)
        except _StepFailed as failed:
            _log.warning("activity.failed", **_who(), code=failed.failure.type)
            raise failed.failure from None
        except AgentflowError as error:
            failure = to_application_error(error)
            _log.warning("activity.failed", **_who(), code=error.code)
            # Without its cause, whose message could quote a document: history keeps what is raised here.
            raise failure from None
        except (asyncio.CancelledError, ApplicationError):
            raise
        except Exception as error:  # noqa: BLE001  # The edge to Temporal: no content of an unknown error goes past it.
            _log.exception("activity.defect", **_who())
            raise unexpected_error(error) from None

    async def _step(self, call: StepCall, input: ExecuteActivityInput) -> Any:  # noqa: A002
        plan = await self._resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
        context = StepContext(
            call=call,
            node=plan.node(call.node_id),
            attempt=activity.info().attempt,
            temporal_run_id=activity.info().workflow_run_id or "",
            started_at=self._resources.clock.now(),
        )
        context.closing.append(lambda ending: self._write_spans(context, ending))
        leave = enter_step(context)
        began, state = time.perf_counter(), "failed"
        try:
            result = await self.next.execute_activity(input)
            state = "reused" if context.is_reused else "succeeded"
        except asyncio.CancelledError:
            state = "cancelled"
            raise
        except AgentflowError as error:
            raise _StepFailed(as_failure(error, context.retry, attempt=context.attempt)) from None
        finally:
            leave()
            self._resources.metrics.record_step(
                kind=context.leaf.kind, state=state, duration_seconds=time.perf_counter() - began
            )
            self._resources.spans.emit(context.written_spans)
        return result

    def _write_spans(self, context: StepContext, ending: Ending) -> list[Statement]:
        outcome = Outcome(
            started_at=context.started_at,
            ended_at=self._resources.clock.now(),
            status=ending.status,
            error_type=ending.error_code,
        )
        own = step_span(
            context.span_attempt,
            kind=context.leaf.kind,
            outcome=outcome,
            attributes={names.STEP_TARGET: context.leaf.target},
        )
        context.written_spans = [own, *context.spans]
        return [add_statement(context.written_spans)]


class _StepFailed(Exception):  # a way out to the edge, where it is told
    """A step that ended with an error, as Temporal records it."""

    def __init__(self, failure: ApplicationError) -> None:
        self.failure = failure
        super().__init__()


def _who() -> dict[str, Any]:
    info = activity.info()
    return {"activity": info.activity_type, "run_id": info.workflow_id, "attempt": info.attempt}

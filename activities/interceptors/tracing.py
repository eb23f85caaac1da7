"""The outermost view of an activity: who the step is, how long it took, what it became; and errors as Temporal's.

Spans are written in the transaction that records the step's result, so that a trace never tells of a step that
the journal does not know, nor the other way round.
"""

import asyncio
import time
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import DataError
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.attempt_tally import current_tally
from activities.map_payloads import BatchCall
from activities.payloads import StepCall
from activities.recorded_run import run_named_by
from activities.resources import Resources
from activities.retry_posture import to_application_error, unexpected_error
from activities.step_context import Ending, StepContext, enter_step
from activities.step_exchange import exchange_statements
from activities.step_retries import as_failure, as_unexpected_failure, is_excused
from agentflow.errors import AgentflowError
from agentflow.statements import Statement
from observability.repository import add_statement
from observability.telemetry import attributes as names
from observability.telemetry.logging import get_logger
from observability.telemetry.span_record import Outcome, step_span
from runs.plan import RetryPlan

_log = get_logger(__name__)

_SOON = timedelta(milliseconds=100)
#: Of bookkeeping that fails and nobody is away: about two minutes, within which code or data could be mended.
_MAX_BOOKKEEPING_ATTEMPTS = 20


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
        ends = _Ends(is_limited=isinstance(call, StepCall | BatchCall))
        run = run_named_by(call)
        try:
            if run is not None:
                await self._resources.require_run(run)
            if isinstance(call, StepCall):
                return await self._step(call, input, ends)
            if isinstance(call, BatchCall):
                plan = await self._resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
                ends.begin(plan.node(call.node_id).retry)
            return await self.next.execute_activity(input)
        except AgentflowError as error:
            _log.warning("activity.failed", **_who(), code=error.code)
            # Without its cause, whose message could quote a document: history keeps what is raised here.
            raise ends.failure(error) from None
        except ApplicationError:
            raise
        except asyncio.CancelledError:
            if not _is_stopped():
                raise
            _log.warning("activity.stopped", **_who())
            raise ends.stopped() from None
        except Exception as error:  # noqa: BLE001  # The edge to Temporal: no content of an unknown error goes past it.
            _log.exception("activity.defect", **_who())
            raise ends.unexpected(error) from None

    async def _step(self, call: StepCall, input: ExecuteActivityInput, ends: "_Ends") -> Any:  # noqa: A002
        plan = await self._resources.plan(org_id=call.run.org_id, digest=call.run.plan_digest)
        context = StepContext(
            call=call,
            node=plan.node(call.node_id),
            attempt=activity.info().attempt,
            temporal_run_id=activity.info().workflow_run_id or "",
            started_at=self._resources.clock.now(),
        )
        ends.begin(context.retry)
        context.closing.append(lambda ending: self._write_spans(context, ending))
        context.closing.append(lambda ending: exchange_statements(context, ending, self._resources.clock))
        leave = enter_step(context)
        began, state = time.perf_counter(), "failed"
        try:
            result = await self.next.execute_activity(input)
            state = "reused" if context.is_reused else "succeeded"
        except asyncio.CancelledError:
            state = "cancelled"
            raise
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


class _Ends:
    """How an attempt may end, and whether another follows; bookkeeping has as many as it takes."""

    def __init__(self, *, is_limited: bool) -> None:
        self._tally = current_tally()
        # Until the plan is read: what fails before is rarely the step's own doing.
        self._retry = RetryPlan() if is_limited else None

    def begin(self, retry: RetryPlan) -> None:
        """Raises TimeRanOut or WorkersLost when this is one attempt too many."""
        self._retry = retry
        self._tally.check(retry, activity.info())

    def failure(self, error: AgentflowError) -> ApplicationError:
        """The error as Temporal records it."""
        if self._retry is None:
            return to_application_error(error)
        return self._told(as_failure(error, self._retry, attempt=self._tally.number), counts=not is_excused(error))

    def unexpected(self, error: Exception) -> ApplicationError:
        """The same of an error that is none of ours."""
        if self._retry is None:
            ends = isinstance(error, DataError) or self._tally.number >= _MAX_BOOKKEEPING_ATTEMPTS
            failure = unexpected_error(error)
            if ends and not is_excused(error):
                return ApplicationError(failure.message, type=failure.type, non_retryable=True)
            return self._told(failure, counts=not is_excused(error))
        failure = as_unexpected_failure(error, self._retry, attempt=self._tally.number)
        return self._told(failure, counts=not is_excused(error))

    def stopped(self) -> ApplicationError:
        """The worker does not go on; another will."""
        failure = ApplicationError("its worker was stopped", type="step.worker_stopped", next_retry_delay=_SOON)
        return self._told(failure, counts=False)

    def _told(self, failure: ApplicationError, *, counts: bool) -> ApplicationError:
        if not failure.non_retryable:
            self._tally.end(counts=counts)
            # Temporal keeps it with the failure that follows.
            activity.heartbeat(self._tally.details)
        return failure


def _is_stopped() -> bool:
    """Whether an attempt was cancelled because its worker is shut down, and for nothing else."""
    details = activity.cancellation_details()
    return activity.is_worker_shutdown() and not (details is not None and details.cancel_requested)


def _who() -> dict[str, Any]:
    info = activity.info()
    return {"activity": info.activity_type, "run_id": info.workflow_id, "attempt": info.attempt}

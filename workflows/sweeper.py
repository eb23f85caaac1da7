"""Finishes what a process that died left half done; every worker runs it, and all of it may happen twice.

A recorded run that never started is started, one whose turn has come is let in, a cancellation that did not reach
Temporal is delivered, a run whose workflow was ended from outside is closed, and the holds of crashed calls are
accounted for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from agentflow.clock import Clock
from agentflow.database import Database
from cas.budget_ledger import BudgetLedger
from cas.cache_repository import CacheRepository
from cas.rate_limit_repository import RateLimitRepository
from observability.telemetry.logging import get_logger
from runs.admission import Admission
from runs.admission_models import NO_CAPS, AdmissionDefaults
from runs.admission_repository import AdmissionRepository
from runs.doubt_repository import DoubtRepository
from runs.models import Run, RunState
from runs.repository import RunRepository
from workflows.run_start import cancel_run, start_each, start_run

_log = get_logger(__name__)

#: What is younger is still in the hands of the process that began it.
_PATIENCE = timedelta(seconds=5)
#: A workflow closes its own run before it ends; this much later it was ended from outside.
_LOST_AFTER = timedelta(seconds=60)
_PAGE = 100


class Sweeper:
    """Looks around at intervals."""

    def __init__(
        self,
        database: Database,
        temporal: Client,
        clock: Clock,
        *,
        admission: AdmissionDefaults = NO_CAPS,
        interval_seconds: float = 5.0,
    ) -> None:
        self._database, self._temporal, self._clock = database, temporal, clock
        self._admission, self._interval_seconds = admission, interval_seconds
        self._places: dict[str, str] = {}

    async def run(self) -> None:
        """Sweeps until cancelled; a database or Temporal that is away is tried again at the next round."""
        while True:
            try:
                await self.sweep()
            except (SQLAlchemyError, RPCError, RuntimeError, OSError) as error:
                _log.warning("sweep.failed", reason=type(error).__name__)
            await asyncio.sleep(self._interval_seconds)

    async def sweep(self) -> None:
        """One round; a run that cannot be dealt with does not keep the others waiting."""
        await self._sweep_money()
        await self._admit_waiting()
        now = self._clock.now()
        async with self._database.transaction() as session:
            runs = RunRepository(session)
            unstarted = await runs.unstarted_runs(before=now - _PATIENCE, after=self._place("unstarted"), limit=_PAGE)
            cancelling = await runs.cancelling_runs(
                before=now - _PATIENCE, after=self._place("cancelling"), limit=_PAGE
            )
            running = await runs.running_runs(before=now - _LOST_AFTER, after=self._place("running"), limit=_PAGE)
        for name, page, mend in (
            ("unstarted", unstarted, self._start),
            ("cancelling", cancelling, self._cancel),
            ("running", running, self._close_if_lost),
        ):
            for run in page:
                await self._try(mend, run)
            self._places[name] = page[-1].run_id if len(page) == _PAGE else ""

    def _place(self, name: str) -> str:
        """Where the last round's page ended."""
        return self._places.get(name, "")

    async def _try(self, mend: Callable[[Run], Awaitable[None]], run: Run) -> None:
        try:
            await mend(run)
        except (SQLAlchemyError, RPCError, RuntimeError, OSError) as error:
            _log.warning("sweep.run_failed", run_id=run.run_id, reason=type(error).__name__)

    async def _start(self, run: Run) -> None:
        if await start_run(self._temporal, run):
            _log.info("run.started_late", run_id=run.run_id)
        else:
            # Its workflow was ended before it could open the run.
            await self._close_if_lost(run)

    async def _cancel(self, run: Run) -> None:
        await cancel_run(self._temporal, run_id=run.run_id)

    async def _close_if_lost(self, run: Run) -> None:
        ended = await self._ended_as(run.run_id)
        if ended is None:
            return
        async with self._database.transaction() as session:
            await RunRepository(session).finish_run(
                org_id=run.org_id,
                run_id=run.run_id,
                state=RunState.FAILED,
                now=self._clock.now(),
                node_states={},
                outputs_digest=None,
                error_code="run.lost",
                error_message=f"its workflow in Temporal is {ended} without having closed the run",
                failed_node=None,
            )
            doubts = await DoubtRepository(session).close_run(org_id=run.org_id, run_id=run.run_id)
            admitted = await Admission(session, self._admission).admit_next(org_id=run.org_id)
        await start_each(self._temporal, admitted)
        _log.warning("run.lost", run_id=run.run_id, workflow=ended, steps_in_doubt=len(doubts))

    async def _ended_as(self, run_id: str) -> str | None:
        """How the workflow ended, in a word; None while it runs."""
        try:
            description = await self._temporal.get_workflow_handle(run_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return "missing"
            raise
        status = description.status
        if status is None or status is WorkflowExecutionStatus.RUNNING:
            return None
        return status.name.lower().replace("_", " ")

    async def _admit_waiting(self) -> None:
        """Lets in what has room: a process may have died between the end of one run and the start of the next."""
        async with self._database.transaction() as session:
            repository = AdmissionRepository(session)
            waiting = await repository.waiting_organisations(after=self._place("waiting"), limit=_PAGE)
        for org_id in waiting:
            async with self._database.transaction() as session:
                admitted = await Admission(session, self._admission).admit_next(org_id=org_id)
            await start_each(self._temporal, admitted)
        self._places["waiting"] = waiting[-1] if len(waiting) == _PAGE else ""

    async def _sweep_money(self) -> None:
        async with self._database.transaction() as session:
            expired, written_off = await BudgetLedger(session, self._clock).sweep()
            await CacheRepository(session).sweep()
            await RateLimitRepository(session).sweep()
        if expired or written_off:
            _log.warning("holds.swept", uncertain=expired, written_off=written_off)

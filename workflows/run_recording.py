"""What recording a run takes, whether it is submitted or repeats another: a compiled plan, a row, a budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.blobs import JSON_MEDIA_TYPE, BlobStore, hold_like_statement, hold_statement
from agentflow.clock import Clock
from agentflow.digest import Json
from agentflow.statements import Statement, execute_each
from cas.budget_ledger import BudgetLedger
from cas.models import Period
from runs.admission import Admission
from runs.admission_models import AdmissionDefaults
from runs.errors import RunNotFound
from runs.models import NewRun, Run, RunState
from runs.repository import RunRepository


async def store_statements(
    blobs: BlobStore, clock: Clock, *, org_id: str, contents: Mapping[str, bytes]
) -> list[Statement]:
    """What stores JSON content by its digests, inside the transaction that refers to it."""
    return [
        await blobs.put_statement(
            org_id=org_id, digest=digest, content=content, media_type=JSON_MEDIA_TYPE, now=clock.now()
        )
        for digest, content in contents.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run that is recorded, and the runs that may start since it is: often itself, or older ones, or none."""

    run: Run
    admitted: tuple[Run, ...]


def known_run(run: Run) -> Recorded:
    """A run that was recorded before, and may not have been started."""
    may_start = run.state is RunState.SUBMITTED and not run.is_queued
    return Recorded(run=run, admitted=(run,) if may_start else ())


async def record_new_run(
    session: AsyncSession,
    clock: Clock,
    new_run: NewRun,
    *,
    stored: Sequence[Statement],
    holds: Iterable[Json],
    defaults: AdmissionDefaults,
) -> Recorded | None:
    """Records a run with its budget and the content it refers to; None when its idempotency key has been used.

    Content whose digests stand inside `holds` is kept for as long as the run. Raises RunQueueFull.
    """
    repository, admission = RunRepository(session), Admission(session, defaults)
    await execute_each(session, stored)
    limits = await admission.limits(org_id=new_run.org_id)
    admitted = await admission.record(new_run, limits, now=clock.now())
    if admitted is None:
        return None
    found = [hold_statement(org_id=new_run.org_id, value=value, run_id=new_run.run_id) for value in holds]
    await execute_each(session, [statement for statement in found if statement is not None])
    if new_run.rerun_of is not None:
        # The earlier run may be removed one day; what its outputs name in their turn stays with this one.
        held = hold_like_statement(org_id=new_run.org_id, earlier_run_id=new_run.rerun_of, run_id=new_run.run_id)
        await execute_each(session, [held])
    if new_run.budget_micro_usd is not None:
        ledger = BudgetLedger(session, clock)
        await ledger.create_budget(
            org_id=new_run.org_id, period=Period.RUN, limit=new_run.budget_micro_usd, run_id=new_run.run_id
        )
    run = await repository.get_run(org_id=new_run.org_id, run_id=new_run.run_id)
    if run is None:
        raise RunNotFound(run_id=new_run.run_id)
    return Recorded(run=run, admitted=(run,) if limits.always_admits else tuple(admitted))

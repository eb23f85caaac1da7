"""What recording a run takes, whether it is submitted or repeats another: a compiled plan, a row, a budget."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from activities.prompt_catalog import load_catalog
from agentflow.clock import Clock
from cas.budget_ledger import BudgetLedger
from cas.models import Period
from runs.models import NewRun, Run
from runs.plan import Plan
from runs.repository import RunRepository
from workflows.dag_compiler import compile_dag
from workflows.dag_document import Document
from workflows.dag_spec import read_parts


async def compile_document(session: AsyncSession, clock: Clock, *, org_id: str, document: Document) -> Plan:
    """The plan of a document with the organisation's prompts; raises SpecInvalid."""
    # In threads: a large document takes its time, and other requests go on meanwhile.
    spec, _ = await asyncio.to_thread(read_parts, document)
    catalog = await load_catalog(session, clock, org_id=org_id, prompts=spec.prompt_references())
    return await asyncio.to_thread(compile_dag, document, catalog)


async def record_new_run(session: AsyncSession, clock: Clock, new_run: NewRun) -> Run | None:
    """Records a run with its budget; None when its idempotency key has been used."""
    repository = RunRepository(session)
    if not await repository.add_run(new_run, now=clock.now()):
        return None
    if new_run.budget_micro_usd is not None:
        ledger = BudgetLedger(session, clock)
        await ledger.create_budget(
            org_id=new_run.org_id, period=Period.RUN, limit=new_run.budget_micro_usd, run_id=new_run.run_id
        )
    return await repository.get_run(org_id=new_run.org_id, run_id=new_run.run_id)

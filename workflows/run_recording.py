"""What recording a run takes, whether it is submitted or repeats another: a compiled plan, a row, a budget."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from activities.mcp.tool_listing import McpToolListing, with_tools
from activities.mcp.tool_names import is_mcp_tool
from activities.prompt_catalog import load_catalog
from agentflow.blobs import JSON_MEDIA_TYPE, BlobStore, hold_like_statement, hold_statement
from agentflow.clock import Clock
from agentflow.digest import Json
from agentflow.statements import Statement, execute_each
from cas.budget_ledger import BudgetLedger
from cas.models import Period
from runs.models import NewRun, Run
from runs.plan import Plan
from runs.repository import RunRepository
from workflows.dag_compiler import compile_dag
from workflows.dag_document import Document, parse_document
from workflows.dag_spec import read_parts
from workflows.errors import SpecInvalid

#: Registered workflows that name registered workflows.
MAX_WORKFLOWS_DEEP = 5


async def compile_document(
    session: AsyncSession,
    clock: Clock,
    *,
    org_id: str,
    document: Document,
    above: Sequence[str] = (),
    mcp: McpToolListing | None = None,
) -> Plan:
    """The plan of a document with the organisation's prompts and workflows, and the servers' tools; raises SpecInvalid.

    `above` are the names of the workflows that this one stands in.
    """
    # In threads: a large document takes its time, and other requests go on meanwhile.
    spec, _ = await asyncio.to_thread(read_parts, document)
    offered = await (mcp or McpToolListing({})).find(filter(is_mcp_tool, spec.tool_names()))
    catalog = await load_catalog(session, clock, org_id=org_id, prompts=spec.prompt_references())
    plans: dict[tuple[str, int | None], Plan] = {}
    problems: dict[tuple[str, int | None], str] = {}
    for reference in spec.workflow_references():
        found = await _workflow_below(session, clock, org_id, reference, above=(*above, spec.name), mcp=mcp)
        if isinstance(found, str):
            problems[reference] = found
        else:
            plans[reference] = found
    catalog = replace(with_tools(catalog, offered), workflows=plans, workflow_problems=problems)
    return await asyncio.to_thread(compile_dag, document, catalog)


async def _workflow_below(
    session: AsyncSession,
    clock: Clock,
    org_id: str,
    reference: tuple[str, int | None],
    *,
    above: Sequence[str],
    mcp: McpToolListing | None,
) -> Plan | str:
    """The plan of a registered workflow that another one names, or why it cannot be used."""
    name, version = reference
    if name in above:
        return f"workflow {name!r} would run itself: {' → '.join((*above, name))}"
    if len(above) > MAX_WORKFLOWS_DEEP:
        return f"workflows stand in workflows more than {MAX_WORKFLOWS_DEEP} deep: {' → '.join((*above, name))}"
    spec = await RunRepository(session).get_spec(org_id=org_id, name=name, version=version)
    if spec is None:
        return f"there is no workflow {name!r}" + (f" of version {version}" if version is not None else "")
    document = await asyncio.to_thread(parse_document, spec.document)
    try:
        return await compile_document(session, clock, org_id=org_id, document=document, above=above, mcp=mcp)
    except SpecInvalid as error:
        return f"workflow {name!r} version {spec.version} does not compile any more: {error.problems[0].message}"


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


async def record_new_run(
    session: AsyncSession, clock: Clock, new_run: NewRun, *, stored: Sequence[Statement], holds: Iterable[Json]
) -> Run | None:
    """Records a run with its budget and the content it refers to; None when its idempotency key has been used.

    Content whose digests stand inside `holds` is kept for as long as the run.
    """
    repository = RunRepository(session)
    await execute_each(session, stored)
    if not await repository.add_run(new_run, now=clock.now()):
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
    return await repository.get_run(org_id=new_run.org_id, run_id=new_run.run_id)

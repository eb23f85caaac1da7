"""From a document to its plan with what the organisation has: its prompts, its workflows, and the installed tools."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from activities.mcp.tool_listing import McpToolListing, with_tools
from activities.mcp.tool_names import is_mcp_tool
from activities.prompt_catalog import load_catalog
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.settings import ModelOffer
from agentflow.tenant_repository import TenantRepository
from runs.plan import Plan
from runs.repository import RunRepository
from runs.signatures import StepSignature
from workflows.dag_compiler import compile_dag
from workflows.dag_document import Document, parse_document
from workflows.dag_spec import read_parts
from workflows.errors import SpecInvalid

#: Registered workflows that name registered workflows.
MAX_WORKFLOWS_DEEP = 5


class DocumentCompiler:
    """Compiles documents against what there is to name, for every use case alike."""

    def __init__(
        self,
        clock: Clock,
        tools: Mapping[str, StepSignature] | None = None,
        *,
        mcp: McpToolListing | None = None,
        models: Sequence[ModelOffer] | None = None,
    ) -> None:
        """`tools` are those that ship with AgentFlow unless others are given; `mcp` lists those of servers, if any.

        `models` are those that routing chooses from; where they are not given, documents may name any.
        """
        self._clock, self._tools, self._mcp = clock, tools, mcp or McpToolListing({})
        self._models = (
            {f"{offer.provider}/{offer.model}": frozenset(offer.tiers) for offer in models}
            if models is not None
            else None
        )

    async def compile(
        self, database: Database, *, org_id: str, document: Document, is_registered: bool = False
    ) -> Plan:
        """The plan of a document; raises SpecInvalid. Call it outside of transactions: it may wait for a server.

        What `is_registered` is not held to the rules of registration again.
        """
        compilation = _Compilation(database, self._clock, org_id, self._tools, self._mcp, models=self._models)
        return await compilation.compile(document, (), is_registered=is_registered)


class _Compilation:
    """One document, and those of the workflows that it names."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        org_id: str,
        tools: Mapping[str, StepSignature] | None,
        mcp: McpToolListing,
        *,
        models: Mapping[str, frozenset[str]] | None,
    ) -> None:
        self._database, self._clock, self._org_id = database, clock, org_id
        self._tools, self._mcp, self._models = tools, mcp, models

    async def compile(self, document: Document, above: Sequence[str], *, is_registered: bool) -> Plan:
        """The plan of a document that stands in the workflows `above`; raises SpecInvalid."""
        # In threads: a large document takes its time, and other requests go on meanwhile.
        spec, _ = await asyncio.to_thread(read_parts, document)
        offered = await self._mcp.find(filter(is_mcp_tool, spec.tool_names()))
        async with self._database.transaction() as session:
            catalog = await load_catalog(
                session, self._clock, org_id=self._org_id, prompts=spec.prompt_references(), tools=self._tools
            )
            approvers = await self._approvers(session) if spec.approvers() else None
        plans: dict[tuple[str, int | None], Plan] = {}
        problems: dict[tuple[str, int | None], str] = {}
        for reference in spec.workflow_references():
            found = await self._below(reference, (*above, spec.name))
            if isinstance(found, str):
                problems[reference] = found
            else:
                plans[reference] = found
        catalog = replace(
            with_tools(catalog, offered),
            workflows=plans,
            workflow_problems=problems,
            models=self._models,
            approvers=approvers,
        )
        return await asyncio.to_thread(compile_dag, document, catalog, is_registered=is_registered)

    async def _approvers(self, session: AsyncSession) -> frozenset[str] | None:
        """The names of the organisation's keys; None of one that works without any, from inside the server."""
        return await TenantRepository(session).key_names(org_id=self._org_id) or None

    async def _below(self, reference: tuple[str, int | None], above: Sequence[str]) -> Plan | str:
        """The plan of a registered workflow that another one names, or why it cannot be used."""
        name, version = reference
        if name in above:
            return f"workflow {name!r} would run itself: {' → '.join((*above, name))}"
        if len(above) > MAX_WORKFLOWS_DEEP:
            return f"workflows stand in workflows more than {MAX_WORKFLOWS_DEEP} deep: {' → '.join((*above, name))}"
        async with self._database.transaction() as session:
            spec = await RunRepository(session).get_spec(org_id=self._org_id, name=name, version=version)
        if spec is None:
            return f"there is no workflow {name!r}" + (f" of version {version}" if version is not None else "")
        document = await asyncio.to_thread(parse_document, spec.document)
        try:
            return await self.compile(document, above, is_registered=True)
        except SpecInvalid as error:
            return f"workflow {name!r} version {spec.version} does not compile any more: {error.problems[0].message}"

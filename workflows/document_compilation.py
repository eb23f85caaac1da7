"""From a document to its plan with what the organisation has: its prompts, its workflows, and the installed tools."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from activities.catalog import builtin_functions, builtin_tools
from activities.mcp.tool_listing import McpToolListing, with_tools
from activities.mcp.tool_names import is_mcp_tool
from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.settings import ModelOffer
from agentflow.tenant_repository import TenantRepository
from runs.plan import EncodedPlan
from runs.repository import RunRepository
from runs.signatures import Catalog, StepSignature
from workflows.document_work import CompiledDocument, NamedContent, compile_text, read_names
from workflows.errors import SpecInvalid
from workflows.prompt_catalog import find_prompts
from workflows.tenant_work import TenantWork, weight_of

#: Registered workflows that name registered workflows.
MAX_WORKFLOWS_DEEP = 5

_Result = TypeVar("_Result")


class DocumentCompiler:
    """Compiles documents against what there is to name, for every use case alike."""

    def __init__(
        self,
        clock: Clock,
        tools: Mapping[str, StepSignature] | None = None,
        *,
        mcp: McpToolListing | None = None,
        models: Sequence[ModelOffer] | None = None,
        work: TenantWork | None = None,
    ) -> None:
        """`tools` are those that ship with AgentFlow unless others are given; `mcp` lists those of servers, if any.

        `models` are those that routing chooses from; where they are not given, documents may name any. `work` bounds
        what documents may take; without it they are compiled where they are asked for.
        """
        self.clock, self.tools, self.mcp, self._work = clock, tools, mcp or McpToolListing({}), work
        self.models = (
            {f"{offer.provider}/{offer.model}": frozenset(offer.tiers) for offer in models}
            if models is not None
            else None
        )

    async def compile(
        self, database: Database, *, org_id: str, text: str, is_registered: bool = False
    ) -> CompiledDocument:
        """The plan of a document; call it outside of transactions: it may wait for a server.

        What `is_registered` is not held to the rules of registration again. Raises SpecUnreadable, SpecInvalid,
        WorkTooCostly or ServerOccupied.
        """
        return await _Compilation(self, database, org_id).compile(text, (), is_registered=is_registered)

    async def run(self, function: Callable[..., _Result], *arguments: Any, org_id: str, size_bytes: int) -> _Result:
        """What the function returns, within what may be taken for an organisation; raises as TenantWork.run."""
        if self._work is None:
            return await asyncio.to_thread(function, *arguments)
        return await self._work.run(function, *arguments, org_id=org_id, size_bytes=size_bytes)


class _Compilation:
    """One document, and those of the workflows that it names."""

    def __init__(self, compiler: DocumentCompiler, database: Database, org_id: str) -> None:
        self._compiler, self._database, self._org_id = compiler, database, org_id

    async def compile(self, text: str, above: Sequence[str], *, is_registered: bool) -> CompiledDocument:
        """The plan of a document that stands in the workflows `above`; raises as DocumentCompiler.compile."""
        names = await self._work(read_names, text, size_bytes=len(text))
        offered = await self._compiler.mcp.find(filter(is_mcp_tool, names.tools))
        async with self._database.transaction() as session:
            prompts, prompt_problems = await find_prompts(
                session, self._compiler.clock, org_id=self._org_id, references=names.prompts
            )
            approvers = await self._approvers(session) if names.has_approvers else None
        plans: dict[tuple[str, int | None], EncodedPlan] = {}
        problems: dict[tuple[str, int | None], str] = {}
        for reference in names.workflows:
            found = await self._below(reference, (*above, names.workflow))
            if isinstance(found, str):
                problems[reference] = found
            else:
                plans[reference] = found
        tools = self._compiler.tools
        catalog = Catalog(
            tools=builtin_tools() if tools is None else tools,
            functions=builtin_functions(),
            prompt_problems=prompt_problems,
            workflow_problems=problems,
            models=self._compiler.models,
            approvers=approvers,
        )
        catalog, named = with_tools(catalog, offered), NamedContent(prompts=prompts, plans=plans)
        # What ships with AgentFlow is there for every document, and small.
        size = len(text) + weight_of(catalog.contracts, plans) + sum(prompt.weight for prompt in prompts.values())
        return await self._work(compile_text, text, catalog, is_registered, named, size_bytes=size)

    async def _approvers(self, session: AsyncSession) -> frozenset[str] | None:
        """The names of the organisation's keys; None of one that works without any, from inside the server."""
        return await TenantRepository(session).key_names(org_id=self._org_id) or None

    async def _below(self, reference: tuple[str, int | None], above: Sequence[str]) -> EncodedPlan | str:
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
        try:
            return (await self.compile(spec.document, above, is_registered=True)).plan
        except SpecInvalid as error:
            return f"workflow {name!r} version {spec.version} does not compile any more: {error.problems[0].message}"

    async def _work(self, function: Callable[..., _Result], *arguments: Any, size_bytes: int) -> _Result:
        return await self._compiler.run(function, *arguments, org_id=self._org_id, size_bytes=size_bytes)

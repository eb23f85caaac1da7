"""A whole AgentFlow inside the test process: real Temporal, real PostgreSQL, real workers, a scripted vendor."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from temporalio.client import Client

from activities.mcp.tool_listing import McpToolListing
from activities.resources import Resources
from activities.tool_plugins import signatures_of
from activities.tools.tool import Tool
from agentflow.money import MicroUsd
from agentflow.settings import ModelOffer, Settings
from promptops.service import PromptService
from runs.models import RunState, Step
from runs.run_view import RunView
from runs.signatures import StepSignature
from runs.step_repository import StepRepository
from tests.deadline import until
from tests.scripted_provider import ScriptedProvider
from workflows.document_compilation import DocumentCompiler
from workflows.service import RunRequest, WorkflowService
from workflows.worker import build_workers

#: `until` for those who look here for it.
__all__ = [
    "DEAR_OFFER",
    "OFFER",
    "SCHEMA",
    "Platform",
    "platform_settings",
    "running_platform",
    "succeeded",
    "until",
]
#: 1 micro-USD for each input token, 2 for each output token.
OFFER = ModelOffer(
    provider="openai",
    model="scripted-1",
    input_micro_usd_per_million_tokens=1_000_000,
    output_micro_usd_per_million_tokens=2_000_000,
)
#: Ten times dearer, for Gold only: what a Gold call falls back on.
DEAR_OFFER = ModelOffer(
    provider="anthropic",
    model="scripted-2",
    tiers=("Gold",),
    input_micro_usd_per_million_tokens=10_000_000,
    output_micro_usd_per_million_tokens=20_000_000,
)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"content": {"type": "string"}}, "required": ["content"]}


def platform_settings(database_url: str, provider: ScriptedProvider, **overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": database_url,
        "vault_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "openai_api_key": "test-key",
        "openai_base_url": provider.base_url_openai,
        "anthropic_api_key": "test-key",
        "anthropic_base_url": provider.base_url_anthropic,
        "models": (OFFER, DEAR_OFFER),
        "worker_grace_seconds": 1.0,
        **overrides,
    }
    return Settings(**values)


@dataclass(slots=True, kw_only=True)
class Platform:
    """What a test speaks to."""

    resources: Resources
    temporal: Client
    service: WorkflowService
    provider: ScriptedProvider

    @property
    def signatures(self) -> dict[str, StepSignature]:
        """What documents may name of tools."""
        return signatures_of(self.resources.tools)

    async def prompt(self, org_id: str, name: str, template: str, schema: Mapping[str, Any] | None = None) -> int:
        async with self.resources.database.transaction() as session:
            made = await PromptService(session, self.resources.clock).create_version(
                org_id=org_id, name=name, template=template, input_schema=schema if schema is not None else SCHEMA
            )
        return made.version

    async def register(self, org_id: str, document: Mapping[str, Any]) -> None:
        await self.service.register(org_id=org_id, text=json.dumps(document))

    async def submit(
        self,
        org_id: str,
        name: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        budget: int | None = None,
        key: str | None = None,
    ) -> str:
        request = RunRequest(
            workflow_name=name,
            workflow_version=None,
            inputs=inputs or {},
            budget_micro_usd=MicroUsd(budget) if budget is not None else None,
            idempotency_key=key,
        )
        return (await self.service.submit(org_id=org_id, request=request)).view.run.run_id

    async def ended(self, org_id: str, run_id: str) -> RunView:
        """The run once it has ended."""

        async def look() -> RunView | None:
            view = await self.service.get_run(org_id=org_id, run_id=run_id)
            return view if view.run.state.is_final else None

        return await until(look, f"run {run_id} of {org_id} to end")

    async def run(
        self, org_id: str, document: Mapping[str, Any], inputs: Mapping[str, Any] | None = None, **options: Any
    ) -> RunView:
        """Registers, submits, waits."""
        await self.register(org_id, document)
        run_id = await self.submit(org_id, str(document["name"]), inputs, **options)
        return await self.ended(org_id, run_id)

    async def steps(self, org_id: str, run_id: str) -> list[Step]:

        async with self.resources.database.transaction() as session:
            return await StepRepository(session).steps_of(org_id=org_id, run_id=run_id)

    async def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.resources.database.transaction() as session:
            return [dict(row) for row in (await session.execute(text(statement), parameters)).mappings()]


@asynccontextmanager
async def running_platform(
    settings: Settings,
    temporal: Client,
    provider: ScriptedProvider,
    *,
    sandboxed: bool = True,
    tools: Mapping[str, Tool] | None = None,
) -> AsyncIterator[Platform]:
    """The platform with its workers, which end with the block; `tools` instead of the installed ones."""
    resources, listing = Resources(settings, tools=tools), McpToolListing(settings.mcp_servers)
    try:
        async with AsyncExitStack() as stack:
            for worker in build_workers(temporal, resources, sandboxed=sandboxed):
                await stack.enter_async_context(worker)
            yield Platform(
                resources=resources,
                temporal=temporal,
                service=WorkflowService(
                    resources.database,
                    resources.blobs,
                    temporal,
                    resources.clock,
                    DocumentCompiler(resources.clock, signatures_of(resources.tools), mcp=listing),
                ),
                provider=provider,
            )
    finally:
        await resources.close()


def succeeded(view: RunView) -> RunView:
    """`view`, which must be of a run that succeeded."""
    assert RunState.SUCCEEDED == view.run.state, (view.run.error_code, view.run.error_message)
    return view

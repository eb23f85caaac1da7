"""What activities work with: made once for each worker process, closed when it ends."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from activities.errors import ToolNotInstalled
from activities.mcp.mcp_tool import mcp_tool
from activities.mcp.sessions import McpSessions
from activities.payloads import RunRef
from activities.readers.document_readers import DocumentReaders
from activities.sandbox.runner import SandboxRunner
from activities.tool_plugins import load_tools
from activities.tools.tool import Tool
from agentflow.blobs import JSON_MEDIA_TYPE, open_blob_store
from agentflow.clock import Clock, SystemClock
from agentflow.database import Database
from agentflow.recent_values import RecentValues
from agentflow.settings import Settings
from cas.providers.provider_pool import ProviderPool
from cas.rate_limiter import RateLimiter
from cas.router import open_router
from observability.telemetry.metrics import Metrics
from observability.telemetry.tracing import SpanEmitter
from promptops.models import PromptVersion
from promptops.rendering.renderer import PromptRenderer
from promptops.service import PromptService
from runs.errors import RunMismatch, RunNotFound
from runs.paged_list import PAGED_LIST_MEDIA_TYPE, PagedList, decode_paged_list
from runs.plan import Leaf, Plan, decode_plan
from runs.repository import RunRepository
from scl.token_vault import TokenVault

_KNOWN_RUNS = 10_000
_LARGEST_CACHED_BYTES = 1024 * 1024


class Resources:
    """Pools, caches and services of one worker process."""

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, tools: Mapping[str, Tool] | None = None
    ) -> None:
        """`tools` are the ones that are installed unless others are given; raises ToolPluginInvalid."""
        self.settings = settings
        self.tools = load_tools() if tools is None else tools
        self.clock = clock or SystemClock()
        self.database = Database(settings.effective_database_url, pool_size=settings.db_pool_size)
        self.blobs = open_blob_store(settings, self.database)
        self.vault = TokenVault(settings.require_vault_key())
        self.providers = ProviderPool(settings)
        self.router = open_router(settings)
        self.limiter = RateLimiter(self.database, settings.rate_limits)
        self.mcp = McpSessions(settings.mcp_servers)
        self.readers = DocumentReaders(settings.reader_memory_bytes)
        self.renderer = PromptRenderer()
        self.sandbox = SandboxRunner(
            settings.effective_sandbox_cache_directory, concurrency=settings.sandbox_concurrency
        )
        self.metrics = Metrics()
        self.spans = SpanEmitter(settings)
        self._runs: RecentValues[RunRef, bool] = RecentValues(_KNOWN_RUNS)
        self._plans: RecentValues[tuple[str, str], Plan] = RecentValues()
        self._values: RecentValues[tuple[str, str], Any] = RecentValues()
        self._paged_lists: RecentValues[tuple[str, str], PagedList] = RecentValues()
        self._prompts: RecentValues[tuple[str, str, int], PromptVersion] = RecentValues()

    def tool(self, leaf: Leaf) -> Tool:
        """The tool that a step calls, an installed one or one of an MCP server; raises ToolNotInstalled."""
        if leaf.contract is not None:
            return mcp_tool(self.mcp, leaf.contract)
        tool = self.tools.get(leaf.target)
        if tool is None:
            raise ToolNotInstalled(tool=leaf.target)
        return tool

    async def require_run(self, run: RunRef) -> None:
        """Compares what a workflow says of its run with what is recorded, once for each run.

        Raises RunNotFound when the organisation has no such run, or RunMismatch for another plan or other inputs.
        """
        if self._runs.get(run) is not None:
            return
        async with self.database.transaction() as session:
            digests = await RunRepository(session).digests(org_id=run.org_id, run_id=run.run_id)
        if digests is None:
            raise RunNotFound(run_id=run.run_id)
        if digests != (run.plan_digest, run.inputs_digest):
            raise RunMismatch(run_id=run.run_id)
        self._runs.put(run, True)

    async def plan(self, *, org_id: str, digest: str) -> Plan:
        """A plan by its digest; raises BlobNotFound, BlobCorrupt or PlanIncompatible."""
        plan = self._plans.get((org_id, digest))
        if plan is None:
            plan = decode_plan(digest, await self.blobs.get(org_id=org_id, digest=digest))
            self._plans.put((org_id, digest), plan)
        return plan

    async def json_value(self, *, org_id: str, digest: str) -> Any:
        """The JSON content of a digest. Shared between steps: nobody may change it."""
        value = self._values.get((org_id, digest))
        if value is None:
            media_type, content = await self.blobs.get_typed(org_id=org_id, digest=digest)
            if media_type == PAGED_LIST_MEDIA_TYPE:
                # Whoever asks for the whole list gets it; it is not kept.
                return await self.whole_list(org_id=org_id, paged=decode_paged_list(digest, content))
            value = json.loads(content)
            if len(content) <= _LARGEST_CACHED_BYTES:
                self._values.put((org_id, digest), value, weight=len(content))
        return value

    async def paged_list(self, *, org_id: str, digest: str) -> PagedList | None:
        """The index of a paged list; None when the digest is of something else. Raises BlobNotFound or BlobCorrupt."""
        paged = self._paged_lists.get((org_id, digest))
        if paged is None and self._values.get((org_id, digest)) is not None:
            # A whole value; whoever asks this of one is about to read it.
            return None
        if paged is None:
            media_type, content = await self.blobs.get_typed(org_id=org_id, digest=digest)
            if media_type != PAGED_LIST_MEDIA_TYPE:
                if media_type == JSON_MEDIA_TYPE and len(content) <= _LARGEST_CACHED_BYTES:
                    self._values.put((org_id, digest), json.loads(content), weight=len(content))
                return None
            paged = decode_paged_list(digest, content)
            self._paged_lists.put((org_id, digest), paged)
        return paged

    async def whole_list(self, *, org_id: str, paged: PagedList) -> list[Any]:
        """All items of a paged list; raises BlobNotFound or BlobCorrupt."""
        items: list[Any] = []
        for page in paged.pages:
            items.extend(json.loads(await self.blobs.get(org_id=org_id, digest=page)))
        return items

    def remember_json(self, *, org_id: str, digest: str, value: Any, size_bytes: int) -> None:
        """Keeps a value that was just stored: the next step will ask for it."""
        if size_bytes <= _LARGEST_CACHED_BYTES:
            self._values.put((org_id, digest), value, weight=size_bytes)

    async def prompt(self, *, org_id: str, name: str, version: int) -> PromptVersion:
        """A prompt version, which never changes; raises PromptNotFound."""
        key = (org_id, name, version)
        prompt = self._prompts.get(key)
        if prompt is None:
            async with self.database.transaction() as session:
                service = PromptService(session, self.clock)
                prompt = await service.get_version(org_id=org_id, name=name, version=version)
            self._prompts.put(key, prompt)
        return prompt

    async def close(self) -> None:
        """Closes pools and flushes telemetry."""
        self.sandbox.close()
        await self.mcp.close()
        await self.providers.close()
        await asyncio.to_thread(self.spans.close)
        await self.database.close()

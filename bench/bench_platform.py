"""Workers, a client and a service in the bench's own process."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor

from activities.resources import Resources
from agentflow.loaded_memory import keep_what_is_loaded
from agentflow.settings import Settings
from workflows.service import WorkflowService
from workflows.temporal_connection import connect_temporal
from workflows.worker import WORKFLOWS, build_workers, step_interceptors

ORG_ID = "org_bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlatform:
    """What the measurements speak to."""

    resources: Resources
    temporal: Client
    service: WorkflowService


def settings_of(environment: Mapping[str, str], **overrides: Any) -> Settings:
    return Settings(
        database_url=environment["DATABASE_URL"],
        temporal_address=environment["TEMPORAL_ADDRESS"],
        vault_key=environment["VAULT_KEY"],
        **overrides,
    )


@asynccontextmanager
async def bench_platform(
    settings: Settings, *, workflows: Sequence[type] = (), outermost: Sequence[Interceptor] = ()
) -> AsyncIterator[BenchPlatform]:
    """The production worker, with further workflows and interceptors of the bench's."""
    resources = Resources(settings)
    temporal = await connect_temporal(settings)
    try:
        async with AsyncExitStack() as stack:
            for worker in build_workers(
                temporal,
                resources,
                workflows=[*WORKFLOWS, *workflows],
                interceptors=[*outermost, *step_interceptors(resources)],
            ):
                await stack.enter_async_context(worker)
            service = WorkflowService(resources.database, resources.blobs, temporal, resources.clock)
            keep_what_is_loaded()
            yield BenchPlatform(resources=resources, temporal=temporal, service=service)
    finally:
        await resources.close()

"""The HTTP facade: routes over services, errors as problem documents, nothing that thinks."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from activities.mcp.tool_listing import McpToolListing
from activities.tool_plugins import load_tools, signatures_of
from activities.tools.tool import Tool
from agentflow.blobs import open_blob_store
from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.errors import ConfigurationError
from agentflow.payload_cipher import open_payload_cipher
from agentflow.settings import Settings
from agentflow.tenant_repository import DEV_ORG_ID, TenantRepository
from api.codec_access import CodecCors
from api.dependencies import Services, refuse_repeated_parameters
from api.error_responses import Problem, install_error_handlers
from api.request_limits import BodyLimit, RequestMetrics
from api.routes import approvals, budgets, docs_page, operations, prompts, runs, traces, workflows
from api.routes.codec import codec_router
from cas.router import open_router
from observability.telemetry.metrics import Metrics
from runs.admission_models import admission_defaults
from workflows.document_compilation import DocumentCompiler
from workflows.gate_service import GateService
from workflows.node_output_service import NodeOutputService
from workflows.payload_codec import EncryptingCodec
from workflows.plan_outlines import PlanOutlines
from workflows.rerun_service import RerunService
from workflows.service import WorkflowService
from workflows.step_service import StepService
from workflows.temporal_connection import connect_temporal
from workflows.tenant_work import TenantWork

_DESCRIPTION = "Durable workflows for LLM agents. Errors are problem documents (RFC 9457) with a stable `code`."


def create_app(settings: Settings, *, tools: Mapping[str, Tool] | None = None) -> FastAPI:
    """The application; it connects when it starts, and starts while Temporal is away.

    `tools` are the installed ones unless others are given. Raises ConfigurationError or ToolPluginInvalid.
    """
    metrics, developer_key = Metrics(), _developer_key()
    signatures = signatures_of(load_tools() if tools is None else tools)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings.effective_database_url, pool_size=settings.db_pool_size)
        clock, blobs = SystemClock(), open_blob_store(settings, database)
        work = TenantWork()
        listing = McpToolListing(settings.mcp_servers)
        compiler = DocumentCompiler(clock, signatures, mcp=listing, models=settings.models, work=work)
        temporal = await connect_temporal(settings, lazy=True)
        admission, plans = admission_defaults(settings), PlanOutlines(blobs, work)
        app.state.services = Services(
            settings=settings,
            database=database,
            temporal=temporal,
            clock=clock,
            metrics=metrics,
            workflows=WorkflowService(database, blobs, temporal, clock, compiler, admission=admission, plans=plans),
            reruns=RerunService(database, blobs, temporal, clock, compiler, admission=admission, plans=plans),
            gates=GateService(
                database, blobs, temporal, clock, signatures, keep_hours=settings.event_keep_hours, plans=plans
            ),
            outputs=NodeOutputService(database, blobs, work),
            steps=StepService(database, blobs, plans),
            router=open_router(settings),
            work=work,
        )
        try:
            if developer_key is not None:
                await _let_developer_in(database, clock, developer_key)
            yield
        finally:
            await work.close()
            await database.close()

    app = FastAPI(
        title="AgentFlow",
        version=version("agentflow-platform"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        # A redirect would name this server by whatever Host the request brought.
        redirect_slashes=False,
        dependencies=[Depends(refuse_repeated_parameters)],
        generate_unique_id_function=_operation_id,
        # FastAPI's own pages have their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    # The runs' paths before `/workflows/{name}`, which would take them for a workflow called `runs`.
    for module in (runs, workflows, approvals, prompts, budgets, traces, operations, docs_page):
        app.include_router(module.router)
    if settings.codec_endpoint_key is not None:
        app.include_router(codec_router(_codec(settings)))
    install_error_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(CodecCors, settings=settings)
    app.add_middleware(RequestMetrics, metrics=metrics)
    _add_problem_schema(app)
    return app


def _codec(settings: Settings) -> EncryptingCodec:
    cipher = open_payload_cipher(settings)
    if cipher is None:
        raise ConfigurationError(
            "CODEC_ENDPOINT_KEY is set, and there is nothing to open: set PAYLOAD_KEYS, or unset it"
        )
    return EncryptingCodec(cipher)


def _operation_id(route: APIRoute) -> str:
    """The function's name: what generated clients call their methods."""
    return route.name


def _add_problem_schema(app: FastAPI) -> None:
    """Puts Problem among the components; every route refers to it."""
    original = app.openapi

    def openapi() -> dict[str, object]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend OpenAPI


def _developer_key() -> str | None:
    """The key that the embedded stack made for this machine's developer, where it runs."""
    name = os.environ.get("AGENTFLOW_DEV_API_KEY_FILE")
    if not name:
        return None
    try:
        return Path(name).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"AGENTFLOW_DEV_API_KEY_FILE names {name!r}, which cannot be read") from error


async def _let_developer_in(database: Database, clock: SystemClock, api_key: str) -> None:
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        await tenants.ensure_organisation(org_id=DEV_ORG_ID, name="Development", now=clock.now())
        await tenants.add_key(org_id=DEV_ORG_ID, name="development", api_key=api_key, now=clock.now())

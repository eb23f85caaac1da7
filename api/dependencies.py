"""What routes ask for: who is asking, and the services of this process."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client

from agentflow.clock import Clock
from agentflow.database import Database
from agentflow.settings import Settings
from agentflow.tenant_repository import Principal, TenantRepository
from api.errors import NotAuthenticated, ParameterRepeated
from api.guarded_route import guarded_by
from cas.router import Router
from observability.telemetry.metrics import Metrics
from workflows.gate_service import GateService
from workflows.node_output_service import NodeOutputService
from workflows.rerun_service import RerunService
from workflows.service import WorkflowService
from workflows.step_service import StepService
from workflows.tenant_work import TenantWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Made once for each process."""

    settings: Settings
    database: Database
    temporal: Client
    clock: Clock
    metrics: Metrics
    workflows: WorkflowService
    reruns: RerunService
    gates: GateService
    outputs: NodeOutputService
    steps: StepService
    #: What model calls can cost, for the worst case of a workflow.
    router: Router
    #: Does what takes its time with what organisations send.
    work: TenantWork


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key of AgentFlow, `af_…`.")
_key_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="The same, bare.")


def get_services(request: Request) -> Services:
    """The process's services."""
    services: Services = request.app.state.services
    return services


async def refuse_repeated_parameters(request: Request) -> None:
    """Raises ParameterRepeated; the framework itself would take the last of them in silence."""
    route = request.scope.get("route")
    known = {field.alias for field in route.dependant.query_params} if isinstance(route, APIRoute) else set()
    for name in known:
        if len(request.query_params.getlist(name)) > 1:
            raise ParameterRepeated(name=name)


async def get_session(services: Annotated[Services, Depends(get_services)]) -> AsyncIterator[AsyncSession]:
    """One transaction for the request: committed when the route returns, before the response is sent."""
    async with services.database.transaction() as session:
        yield session


async def authenticate(request: Request) -> None:
    """Finds out who is asking; raises NotAuthenticated."""
    bearer = await _bearer(request)
    api_key = bearer.credentials if bearer is not None else await _key_header(request)
    if not api_key:
        raise NotAuthenticated(reason="the request has no API key")
    async with get_services(request).database.transaction() as session:
        principal = await TenantRepository(session).find_principal(api_key=api_key)
    if principal is None:
        raise NotAuthenticated(reason="the API key is not known, or was revoked")
    request.state.principal = principal


@guarded_by(authenticate)
async def get_principal(
    request: Request,
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    _key: Annotated[str | None, Depends(_key_header)],
) -> Principal:
    """Who is asking; the parameters are for OpenAPI."""
    principal: Principal = request.state.principal
    return principal


ServicesDep = Annotated[Services, Depends(get_services)]
#: Function scope: the transaction has ended before the response leaves, so that what was answered is so.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
PrincipalDep = Annotated[Principal, Depends(get_principal)]

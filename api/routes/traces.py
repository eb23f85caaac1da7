"""Traces of runs."""

from fastapi import APIRouter

from api.dependencies import PrincipalDep, SessionDep
from api.error_responses import problem_responses
from api.guarded_route import GuardedRoute
from api.routes.runs import RunId
from api.schemas.traces import TraceDetail
from observability.service import TraceService

router = APIRouter(route_class=GuardedRoute, prefix="/api/v1/traces", tags=["traces"])


@router.get("/{run_id}", summary="Look at the trace of a run", responses=problem_responses(404))
async def get_trace(principal: PrincipalDep, session: SessionDep, run_id: RunId) -> TraceDetail:
    """Every span of the run that has ended so far, parents before children, with what each subtree cost."""
    trace = await TraceService(session).get(org_id=principal.org_id, run_id=run_id)
    return TraceDetail.model_validate(trace.to_json())

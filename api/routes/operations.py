"""Health, readiness and metrics, for machines that look after this one; without a key, and without a tenant's data."""

import asyncio
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from api.dependencies import ServicesDep
from api.error_responses import RETRY_SOON, bare_problem_responses
from api.guarded_route import GuardedRoute

router = APIRouter(route_class=GuardedRoute, tags=["operations"])

_PROBE_SECONDS = 3.0

PartState = Literal["ok", "unavailable"]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """What the process depends on."""

    status: PartState
    database: PartState
    temporal: PartState


@router.get("/health", summary="Whether the process answers", responses=bare_problem_responses(500))
async def health() -> Health:
    """200 while the process lives."""
    return Health()


@router.get(
    "/ready",
    summary="Whether requests can be served",
    responses={503: {"model": Readiness, "description": "A part is away."}, **bare_problem_responses(500)},
)
async def ready(services: ServicesDep, response: Response) -> Readiness:
    """200 when the database and Temporal answer."""
    database, temporal = await asyncio.gather(_database(services), _temporal(services))
    is_ready = database == temporal == "ok"
    if not is_ready:
        response.status_code = 503
        response.headers.update(RETRY_SOON)
    return Readiness(status="ok" if is_ready else "unavailable", database=database, temporal=temporal)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text format 0.0.4."},
        **bare_problem_responses(500),
    },
)
async def metrics(services: ServicesDep) -> Response:
    """The metrics of this API process; workers serve their own on WORKER_METRICS_PORT."""
    content, media_type = services.metrics.render()
    return Response(content, media_type=media_type)


async def _database(services: ServicesDep) -> PartState:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            await services.database.ping()
    except (SQLAlchemyError, OSError, TimeoutError):
        return "unavailable"
    return "ok"


async def _temporal(services: ServicesDep) -> PartState:
    try:
        healthy = await services.temporal.service_client.check_health(timeout=timedelta(seconds=_PROBE_SECONDS))
    except (RPCError, RuntimeError):
        return "unavailable"
    return "ok" if healthy else "unavailable"

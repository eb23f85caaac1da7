"""Workflows: register a version, list, look at one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.dependencies import PrincipalDep, Services, ServicesDep
from api.error_responses import problem_responses
from api.guarded_route import GuardedRoute
from api.pagination import Cursor, Limit, Page, decode_cursor, page_of
from api.raw_json import answer_from
from api.schemas.workflows import (
    Workflow,
    WorkflowCheck,
    WorkflowDetail,
    workflow_check_json,
    workflow_detail_json,
    workflow_of,
)
from workflows.service import Registration

router = APIRouter(route_class=GuardedRoute, prefix="/api/v1/workflows", tags=["workflows"])

_DOCUMENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A workflow document; see docs/workflow-documents.md.",
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


@router.post(
    "",
    status_code=201,
    summary="Register a version of a workflow",
    response_model=WorkflowDetail,
    responses={
        200: {"model": WorkflowDetail, "description": "This very document was registered before."},
        **problem_responses(400, 409, 413, 429),
    },
    openapi_extra=_DOCUMENT,
)
async def register_workflow(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Compiles the document and stores it; a version is never changed, so that another document under it is 409."""
    text = (await request.body()).decode("utf-8", errors="surrogateescape")
    registration = await services.workflows.register(org_id=principal.org_id, text=text)
    return await _detail(registration, services, status=201 if registration.created else 200)


@router.post(
    "/validate",
    summary="Check a workflow document without storing it",
    response_model=WorkflowCheck,
    responses=problem_responses(400, 413, 429),
    openapi_extra=_DOCUMENT,
)
async def validate_workflow(request: Request, services: ServicesDep, principal: PrincipalDep) -> Response:
    """Answers with the compiled nodes, or with every problem of the document at once."""
    text = (await request.body()).decode("utf-8", errors="surrogateescape")
    plan = await services.workflows.validate(org_id=principal.org_id, text=text)
    size = len(plan.content)
    return await answer_from(
        services.work, workflow_check_json, plan, services.router, org_id=principal.org_id, size_bytes=size
    )


@router.get("", summary="List workflows", responses=problem_responses(400))
async def list_workflows(
    services: ServicesDep, principal: PrincipalDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[Workflow]:
    """The latest version of each workflow, by name."""
    found = await services.workflows.list_workflows(
        org_id=principal.org_id, after=decode_cursor(cursor) or "", limit=limit + 1
    )
    return page_of(found, limit, item=workflow_of, key=lambda spec: spec.name)


@router.get(
    "/{name}", summary="Look at a workflow", response_model=WorkflowDetail, responses=problem_responses(404, 429)
)
async def get_workflow(
    services: ServicesDep,
    principal: PrincipalDep,
    name: Annotated[str, Path(min_length=1, max_length=127)],
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The latest when it is left out.")] = None,
) -> Response:
    """A version with its document and its compiled nodes."""
    found = await services.workflows.get_workflow(org_id=principal.org_id, name=name, version=version)
    return await _detail(found, services)


async def _detail(registration: Registration, services: Services, *, status: int = 200) -> Response:
    spec, plan = registration.spec, registration.plan
    size = len(spec.document) + len(plan.content)
    return await answer_from(
        services.work, workflow_detail_json, spec, plan, org_id=spec.org_id, size_bytes=size, status=status
    )

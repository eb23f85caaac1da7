"""Approvals: what people are to decide."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response

from agentflow.ids import new_id
from api.dependencies import PrincipalDep, ServicesDep
from api.error_responses import problem_responses
from api.guarded_route import GuardedRoute
from api.pagination import Cursor, Limit, Page, decode_cursor, page_of
from api.raw_json import answer_from
from api.schemas.approvals import (
    Approval,
    ApprovalDecision,
    ApprovalDetail,
    DoubtResolutionRequest,
    approval_detail_json,
    approval_of,
)

router = APIRouter(route_class=GuardedRoute, prefix="/api/v1/approvals", tags=["approvals"])

ApprovalId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("", summary="List approvals", responses=problem_responses(400))
async def list_approvals(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    state: Annotated[
        Literal["open", "closed"], Query(description="What waits for a decision, or what is over.")
    ] = "open",
    run_id: Annotated[str | None, Query(max_length=128, description="Of this run and those below it only.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Approval]:
    """What waits for a decision; closed ones with how they ended."""
    found = await services.gates.list_approvals(
        org_id=principal.org_id,
        is_open=state == "open",
        run_id=run_id,
        after=decode_cursor(cursor) or "",
        limit=limit + 1,
    )
    return page_of(found, limit, item=approval_of, key=lambda gate: gate.gate_id)


@router.get(
    "/{approval_id}",
    summary="Look at an approval",
    response_model=ApprovalDetail,
    responses=problem_responses(404, 429),
)
async def get_approval(services: ServicesDep, principal: PrincipalDep, approval_id: ApprovalId) -> Response:
    """An approval with what is to be approved."""
    view = await services.gates.get_approval(org_id=principal.org_id, gate_id=approval_id)
    size = len(view.subject or b"")
    return await answer_from(
        services.work, approval_detail_json, view.gate, view.subject, org_id=principal.org_id, size_bytes=size
    )


@router.post(
    "/{approval_id}/decision", summary="Approve or reject", responses=problem_responses(400, 403, 404, 409, 413, 503)
)
async def decide(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    approval_id: ApprovalId,
    decision: ApprovalDecision,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="Deciding twice with one key decides once.")
    ] = None,
) -> Approval:
    """Decides once, on what was looked at: a late, repeated or stale decision is refused and changes nothing."""
    gate = await services.gates.decide(
        org_id=principal.org_id,
        gate_id=approval_id,
        approved=decision.decision == "approve",
        subject_digest=decision.subject_digest,
        decision_id=idempotency_key or new_id("decision"),
        decided_by=principal.name,
        comment=decision.comment,
    )
    return approval_of(gate)


@router.post(
    "/{approval_id}/resolution",
    summary="Say what became of a step in doubt",
    responses=problem_responses(400, 404, 409, 413, 503),
)
async def resolve(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    approval_id: ApprovalId,
    resolution: DoubtResolutionRequest,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="Resolving twice with one key resolves once.")
    ] = None,
) -> Approval:
    """Resolves once, on what was looked at: a late, repeated or stale word is refused and changes nothing."""
    gate = await services.gates.resolve(
        org_id=principal.org_id,
        gate_id=approval_id,
        resolution=resolution.resolution,
        output=resolution.output,
        subject_digest=resolution.subject_digest,
        decision_id=idempotency_key or new_id("decision"),
        decided_by=principal.name,
        comment=resolution.comment,
    )
    return approval_of(gate)

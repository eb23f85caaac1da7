"""Runs: submit, list, look at, cancel, pause, run again, deliver events to."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response

from api.dependencies import PrincipalDep, Services, ServicesDep
from api.error_responses import problem_responses
from api.guarded_route import GuardedRoute
from api.pagination import Cursor, Limit, Page, decode_cursor, page_of
from api.raw_json import answer_from, answer_with
from api.schemas.approvals import EventAccepted, EventDelivery
from api.schemas.reruns import RerunPreview, RerunSubmission, rerun_preview_of
from api.schemas.runs import (
    NodeOutputDetail,
    RunDetail,
    RunSubmission,
    RunSummary,
    run_detail_of,
    run_summary_of,
)
from api.schemas.steps import StepDetail, StepSummary, step_detail_of, step_summary_of
from api.schemas.workflows import WorkflowCheck, workflow_check_json
from runs.models import RunState, StepKey, StepState
from runs.node_step_repository import StepPlace
from workflows.stored_run import StoredRunView

router = APIRouter(route_class=GuardedRoute, prefix="/api/v1/workflows/runs", tags=["runs"])

RunId = Annotated[str, Path(min_length=1, max_length=128)]
NodeId = Annotated[str, Path(min_length=1, max_length=63)]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, description="Submitting twice with one key gives one run.")
]


@router.post(
    "",
    status_code=201,
    summary="Submit a run",
    response_model=RunDetail,
    responses={
        200: {"model": RunDetail, "description": "The idempotency key had started this run before."},
        **problem_responses(400, 404, 409, 413, 429),
    },
)
async def submit_run(
    submission: RunSubmission,
    services: ServicesDep,
    principal: PrincipalDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Records the run and starts it, or lets it wait for its turn; 429 when as many wait as may.

    An accepted run is never lost: whatever dies next, it starts.
    """
    submitted = await services.workflows.submit(org_id=principal.org_id, request=submission.to_request(idempotency_key))
    return _run_answer(submitted.stored, services, status=201 if submitted.created else 200, is_located=True)


@router.get("", summary="List runs", responses=problem_responses(400))
async def list_runs(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    workflow_name: Annotated[str | None, Query(max_length=127)] = None,
    state: Annotated[RunState | None, Query()] = None,
    parent: Annotated[str | None, Query(max_length=128, description="Those right below this run instead.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunSummary]:
    """Runs, latest first."""
    found = await services.workflows.list_runs(
        org_id=principal.org_id,
        before=decode_cursor(cursor),
        limit=limit + 1,
        workflow_name=workflow_name,
        state=state,
        parent_run_id=parent,
    )
    return page_of(found, limit, item=lambda run: run_summary_of(run, services.settings), key=lambda run: run.run_id)


@router.get("/{run_id}", summary="Look at a run", response_model=RunDetail, responses=problem_responses(404, 429))
async def get_run(services: ServicesDep, principal: PrincipalDep, run_id: RunId) -> Response:
    """How a run and each of its nodes stands, live."""
    stored = await services.workflows.get_stored_run(org_id=principal.org_id, run_id=run_id)
    return _run_answer(stored, services)


def _run_answer(stored: StoredRunView, services: Services, *, status: int = 200, is_located: bool = False) -> Response:
    contents = {"inputs": stored.inputs} | ({"outputs": stored.outputs} if stored.outputs is not None else {})
    location = f"{router.prefix}/{stored.view.run.run_id}" if is_located else None
    return answer_with(run_detail_of(stored.view, services.settings), contents, status=status, location=location)


@router.get(
    "/{run_id}/graph",
    summary="Look at what a run runs",
    response_model=WorkflowCheck,
    responses=problem_responses(404, 429),
)
async def get_run_graph(services: ServicesDep, principal: PrincipalDep, run_id: RunId) -> Response:
    """The compiled nodes of the run, which a re-run of an edited document shares with no registered version."""
    plan = await services.workflows.get_plan(org_id=principal.org_id, run_id=run_id)
    size = len(plan.content)
    return await answer_from(
        services.work, workflow_check_json, plan, services.router, org_id=principal.org_id, size_bytes=size
    )


@router.get(
    "/{run_id}/nodes/{node_id}/output",
    summary="Read a node's output",
    response_model=NodeOutputDetail,
    responses=problem_responses(404, 429),
)
async def get_node_output(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    run_id: RunId,
    node_id: NodeId,
    first: Annotated[int, Query(ge=0, le=10_000_000, description="Of a long list: the first item.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Of a long list: how many items.")] = 100,
) -> Response:
    """What a node has given, whether the run goes on, failed or was cancelled; a long list comes in parts."""
    found = await services.outputs.read(
        org_id=principal.org_id, run_id=run_id, node_id=node_id, first=first, limit=limit
    )
    detail = NodeOutputDetail(
        run_id=run_id,
        node_id=found.node_id,
        digest=found.digest,
        output=None,
        item_count=found.item_count,
        first=found.first,
    )
    return answer_with(detail, {"output": found.content})


@router.get(
    "/{run_id}/nodes/{node_id}/step",
    summary="See what happened at a step",
    response_model=StepDetail,
    responses=problem_responses(404),
)
async def get_step(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    run_id: RunId,
    node_id: NodeId,
    item: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Of a map: the item's index.")] = None,
    part: Annotated[str | None, Query(min_length=1, max_length=128, description="A part, as `parts` name it.")] = None,
    attempts: Annotated[int, Query(ge=1, le=100, description="The most attempts to show, the latest first.")] = 20,
) -> Response:
    """A step's attempts, those that failed too: what was sent, what came back, and how its model was chosen."""
    key = StepKey(org_id=principal.org_id, run_id=run_id, node_id=node_id, item_index=item, part=part)
    report = await services.steps.read(key, attempts=attempts)
    contents = {"attempts": report.attempts} | ({"output": report.output} if report.output is not None else {})
    return answer_with(step_detail_of(key, report), contents)


@router.get(
    "/{run_id}/nodes/{node_id}/steps", summary="List a node's steps", responses=problem_responses(400, 404, 429)
)
async def list_steps(
    *,
    services: ServicesDep,
    principal: PrincipalDep,
    run_id: RunId,
    node_id: NodeId,
    item: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Those of this item of a map only.")] = None,
    state: Annotated[
        StepState | None, Query(description="`failed` lists a map's failed items, tolerated or not.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[StepSummary]:
    """What a node is made of: the items of its map by index, or its parts in the order in which they began."""
    key, after = (
        StepKey(org_id=principal.org_id, run_id=run_id, node_id=node_id, item_index=item),
        decode_cursor(cursor),
    )
    place = StepPlace.of(after) if after is not None else None
    found = await services.steps.page(key, state=state, after=place, limit=limit + 1)
    return page_of(found, limit, item=step_summary_of, key=lambda step: str(step.where))


@router.post(
    "/{run_id}/cancel",
    status_code=202,
    summary="Cancel a run",
    response_model=RunDetail,
    responses=problem_responses(404, 409, 429),
)
async def cancel_run(services: ServicesDep, principal: PrincipalDep, run_id: RunId) -> Response:
    """Asks a run to stop, which it does within seconds; 409 when it has ended."""
    stored = await services.workflows.cancel(org_id=principal.org_id, run_id=run_id)
    return _run_answer(stored, services, status=202)


@router.post(
    "/{run_id}/pause",
    status_code=202,
    summary="Pause a run",
    response_model=RunDetail,
    responses=problem_responses(404, 409, 429, 503),
)
async def pause_run(services: ServicesDep, principal: PrincipalDep, run_id: RunId) -> Response:
    """Lets nothing more of a run begin; what is under way finishes. 409 when it has ended."""
    stored = await services.workflows.pause(org_id=principal.org_id, run_id=run_id)
    return _run_answer(stored, services, status=202)


@router.post(
    "/{run_id}/resume",
    status_code=202,
    summary="Resume a run",
    response_model=RunDetail,
    responses=problem_responses(404, 409, 429, 503),
)
async def resume_run(services: ServicesDep, principal: PrincipalDep, run_id: RunId) -> Response:
    """Lets a paused run go on; 409 when it has ended."""
    stored = await services.workflows.resume(org_id=principal.org_id, run_id=run_id)
    return _run_answer(stored, services, status=202)


@router.post(
    "/{run_id}/rerun/preview",
    summary="See what a re-run would do",
    responses=problem_responses(400, 404, 409, 413, 429),
)
async def preview_rerun(
    services: ServicesDep, principal: PrincipalDep, run_id: RunId, submission: RerunSubmission
) -> RerunPreview:
    """Which outputs would be taken over, which nodes would run again and why, and what those cost before."""
    plan = await services.reruns.preview(org_id=principal.org_id, request=submission.to_request(run_id))
    return rerun_preview_of(plan)


@router.post(
    "/{run_id}/rerun",
    status_code=201,
    summary="Run a run again",
    response_model=RunDetail,
    responses={
        200: {"model": RunDetail, "description": "The idempotency key had started this run before."},
        **problem_responses(400, 404, 409, 413, 429),
    },
)
async def rerun(
    *,
    submission: RerunSubmission,
    services: ServicesDep,
    principal: PrincipalDep,
    run_id: RunId,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Starts a run that takes over what a finished one recorded, and pays only for what must be done again."""
    repeated = await services.reruns.rerun(
        org_id=principal.org_id, request=submission.to_request(run_id, idempotency_key)
    )
    stored = await services.workflows.get_stored_run(org_id=principal.org_id, run_id=repeated.run.run_id)
    return _run_answer(stored, services, status=201 if repeated.created else 200, is_located=True)


@router.post(
    "/{run_id}/events/{event_key:path}",
    status_code=202,
    summary="Deliver an event",
    responses=problem_responses(400, 404, 409, 413, 429, 503),
)
async def deliver_event(
    services: ServicesDep,
    principal: PrincipalDep,
    run_id: RunId,
    event_key: Annotated[str, Path(min_length=1, max_length=256)],
    delivery: EventDelivery,
) -> EventAccepted:
    """Gives an event to the nodes of a run that wait for it, or keeps it for the next that will; 404 if none can."""
    fate = await services.gates.deliver(
        org_id=principal.org_id,
        run_id=run_id,
        event_key=event_key,
        payload=delivery.payload,
        delivered_by=principal.name,
    )
    became: Literal["delivered", "kept"] = "delivered" if fate.kept_until is None else "kept"
    return EventAccepted(run_id=run_id, event_key=event_key, became=became, kept_until=fate.kept_until)

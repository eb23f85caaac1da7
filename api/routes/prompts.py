"""Prompts: make versions, look at them, deploy them."""

import json
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.dependencies import PrincipalDep, ServicesDep, SessionDep
from api.error_responses import problem_responses
from api.guarded_route import GuardedRoute
from api.pagination import Cursor, Limit, Page, decode_cursor, page_of
from api.schemas.prompts import (
    DeploymentState,
    DeploymentWish,
    Prompt,
    PromptCreation,
    PromptListItem,
    deployment_of,
    prompt_list_item_of,
    prompt_of,
)
from promptops.service import PromptService, check_content

router = APIRouter(route_class=GuardedRoute, prefix="/api/v1/prompts", tags=["prompts"])

_WEIGHT = 8

PromptNamePath = Annotated[str, Path(min_length=1, max_length=128)]


@router.post("", status_code=201, summary="Create a prompt version", responses=problem_responses(400, 413, 429))
async def create_prompt(
    creation: PromptCreation, services: ServicesDep, principal: PrincipalDep, session: SessionDep
) -> Prompt:
    """A new version, or the one that has this very content already."""

    def checked(template: str, schema: Mapping[str, Any] | None) -> Awaitable[None]:
        # Compiling a template holds the interpreter's lock: what is worked on here must be shorter than elsewhere.
        size = _WEIGHT * (len(template) + (len(json.dumps(schema)) if schema is not None else 0))
        return services.work.run(check_content, template, schema, org_id=principal.org_id, size_bytes=size)

    version = await PromptService(session, services.clock, check=checked).create_version(
        org_id=principal.org_id,
        name=creation.name,
        template=creation.template,
        input_schema=creation.input_schema,
    )
    return prompt_of(version)


@router.get("", summary="List prompts", responses=problem_responses(400))
async def list_prompts(
    services: ServicesDep, principal: PrincipalDep, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[PromptListItem]:
    """Prompts by name."""
    found = await PromptService(session, services.clock).list_prompts(
        org_id=principal.org_id, after=decode_cursor(cursor) or "", limit=limit + 1
    )
    return page_of(found, limit, item=prompt_list_item_of, key=lambda summary: summary.name)


@router.post("/deployments", summary="Deploy prompt versions", responses=problem_responses(400, 404, 409, 413))
async def deploy_prompt(
    wish: DeploymentWish, services: ServicesDep, principal: PrincipalDep, session: SessionDep
) -> DeploymentState:
    """Serves a stable version, and a canary to a share of runs, from here on."""
    deployment = await PromptService(session, services.clock).deploy(
        org_id=principal.org_id,
        name=wish.prompt_name,
        stable_version=wish.stable_version,
        canary_version=wish.canary_version,
        canary_ratio=wish.canary_ratio,
        expected_revision=wish.expected_revision,
    )
    return deployment_of(deployment)


@router.get("/deployments/{name}", summary="Look at a deployment", responses=problem_responses(404))
async def get_deployment(
    services: ServicesDep, principal: PrincipalDep, session: SessionDep, name: PromptNamePath
) -> DeploymentState:
    """What is served under a prompt's name."""
    found = await PromptService(session, services.clock).get_deployment(org_id=principal.org_id, name=name)
    return deployment_of(found)


@router.get("/{name}", summary="Look at the latest version of a prompt", responses=problem_responses(404))
async def get_latest_prompt(
    services: ServicesDep, principal: PrincipalDep, session: SessionDep, name: PromptNamePath
) -> Prompt:
    """The version with the highest number, deployed or not."""
    return prompt_of(await PromptService(session, services.clock).get_version(org_id=principal.org_id, name=name))


@router.get("/{name}/{version}", summary="Look at a prompt version", responses=problem_responses(404))
async def get_prompt(
    services: ServicesDep,
    principal: PrincipalDep,
    session: SessionDep,
    name: PromptNamePath,
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
) -> Prompt:
    """One version."""
    found = await PromptService(session, services.clock).get_version(
        org_id=principal.org_id, name=name, version=version
    )
    return prompt_of(found)

"""Budgets: limits on what an organisation spends."""

from fastapi import APIRouter

from agentflow.money import from_cents
from api.dependencies import PrincipalDep, ServicesDep, SessionDep
from api.error_responses import problem_responses
from api.guarded_route import GuardedRoute
from api.pagination import Cursor, Limit, Page, decode_cursor, page_of
from api.schemas.budgets import BudgetCreation, BudgetItem, BudgetState, budget_of, budget_state_of
from cas.budget_ledger import BudgetLedger
from cas.models import BudgetStatus, Period

router = APIRouter(route_class=GuardedRoute, prefix="/api/v1/budgets", tags=["budgets"])


@router.post("", status_code=201, summary="Create a budget", responses=problem_responses(400, 413))
async def create_budget(
    creation: BudgetCreation, services: ServicesDep, principal: PrincipalDep, session: SessionDep
) -> BudgetItem:
    """A limit that every model call of the organisation counts against, from now on."""
    budget = await BudgetLedger(session, services.clock).create_budget(
        org_id=principal.org_id, period=Period(creation.period_type), limit=from_cents(creation.limit_cents)
    )
    return budget_of(budget)


@router.get("", summary="List budgets", responses=problem_responses(400))
async def list_budgets(
    services: ServicesDep, principal: PrincipalDep, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[BudgetItem]:
    """The organisation's budgets, oldest first; the budgets of single runs stand with their runs."""
    found = await _statuses(services, principal, session, limit=limit, cursor=cursor)
    return page_of(found, limit, item=lambda status: budget_of(status.budget), key=_budget_id)


@router.get("/status", summary="See what is spent and left", responses=problem_responses(400))
async def budget_status(
    services: ServicesDep, principal: PrincipalDep, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[BudgetState]:
    """Each budget with its present window."""
    found = await _statuses(services, principal, session, limit=limit, cursor=cursor)
    return page_of(found, limit, item=budget_state_of, key=_budget_id)


async def _statuses(
    services: ServicesDep, principal: PrincipalDep, session: SessionDep, *, limit: int, cursor: str | None
) -> list[BudgetStatus]:
    return await BudgetLedger(session, services.clock).statuses(
        org_id=principal.org_id, after=decode_cursor(cursor) or "", limit=limit + 1
    )


def _budget_id(status: BudgetStatus) -> str:
    return status.budget.budget_id

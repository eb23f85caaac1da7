"""Budgets as JSON; money in whole US cents: limits as given, spend rounded up, what is left rounded down."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agentflow.money import remaining_to_cents, spend_to_cents
from cas.models import Budget, BudgetStatus


class BudgetCreation(BaseModel):
    """A limit on what the organisation spends in a period."""

    model_config = ConfigDict(extra="forbid")

    period_type: Literal["daily", "weekly", "monthly"] = Field(
        description="Windows begin at midnight UTC; weeks on Monday."
    )
    limit_cents: Annotated[int, Field(ge=0, le=10**12, strict=True)]


class BudgetItem(BaseModel):
    """A budget."""

    budget_id: str
    period_type: str
    limit_cents: int
    created_at: datetime


class BudgetState(BudgetItem):
    """A budget with its present window."""

    window_start: datetime
    spent_cents: int
    held_cents: int = Field(description="Set aside for calls under way, or whose outcome is not known yet.")
    remaining_cents: int = Field(description="What new calls may still set aside; below zero after an overdraft.")


def budget_of(budget: Budget) -> BudgetItem:
    """A budget."""
    return BudgetItem(
        budget_id=budget.budget_id,
        period_type=budget.period.value,
        limit_cents=spend_to_cents(budget.limit_micro_usd),
        created_at=budget.created_at,
    )


def budget_state_of(status: BudgetStatus) -> BudgetState:
    """A budget with its window."""
    return BudgetState(
        **budget_of(status.budget).model_dump(),
        window_start=status.window_start,
        spent_cents=spend_to_cents(status.spent_micro_usd),
        held_cents=spend_to_cents(status.held_micro_usd),
        remaining_cents=remaining_to_cents(status.remaining_micro_usd),
    )

"""Frozen values of budgets, reservations and routes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from agentflow.digest import Json
from agentflow.money import MicroUsd
from cas.price_book import ModelPrice


class Period(StrEnum):
    """How long a budget lasts before it starts afresh."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    #: The whole of one run.
    RUN = "run"

    def window_start(self, now: datetime) -> datetime:
        """The beginning, in UTC, of the window that `now` falls in; weeks begin on Monday (ISO 8601)."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Period.DAILY:
            return midnight
        if self is Period.WEEKLY:
            return midnight - timedelta(days=midnight.weekday())
        if self is Period.MONTHLY:
            return midnight.replace(day=1)
        return datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on spending."""

    budget_id: str
    org_id: str
    period: Period
    limit_micro_usd: MicroUsd
    #: Only for `Period.RUN`.
    run_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A budget and its present window."""

    budget: Budget
    window_start: datetime
    spent_micro_usd: MicroUsd
    #: Set aside for calls under way.
    held_micro_usd: MicroUsd

    @property
    def remaining_micro_usd(self) -> MicroUsd:
        """What can still be reserved; below zero after an overdraft."""
        return MicroUsd(self.budget.limit_micro_usd - self.spent_micro_usd - self.held_micro_usd)


class ReservationState(StrEnum):
    """What has become of money set aside."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    #: The holder is gone and the vendor may have billed: the money stays set aside until someone knows.
    UNCERTAIN = "uncertain"
    #: Nobody came to know in time: taken as spent, in full.
    WRITTEN_OFF = "written_off"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledMoney:
    """What a run's calls may have cost besides what they are known to have cost."""

    #: Of calls under way.
    held_micro_usd: MicroUsd
    #: Of calls whose end nobody knows, written off as spent or not.
    uncertain_micro_usd: MicroUsd


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRequest:
    """Money to set aside before one physical call of one model."""

    #: One id per physical call; the same id again adds no hold.
    reservation_id: str
    org_id: str
    run_id: str
    provider: str
    model: str
    ceiling_micro_usd: MicroUsd
    #: How long the holder may take before the sweeper calls the hold uncertain.
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A model that may serve a call."""

    provider: str
    model: str
    price: ModelPrice | None
    #: The most that the call can cost here.
    ceiling_micro_usd: MicroUsd
    #: What it will probably cost: what routes are ordered by.
    expected_micro_usd: MicroUsd
    #: How long an answer may be here.
    max_output_tokens: int

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The routes of a call, best first, and why."""

    routes: tuple[Route, ...]
    tier: str
    reason: str
    #: `provider/model` → why it was left out.
    excluded: dict[str, str]

    def record(self) -> dict[str, Json]:
        """The decision as it is kept with the step."""
        return {
            "tier": self.tier,
            "reason": self.reason,
            "candidates": [
                {"model": route.name, "expected_micro_usd": route.expected_micro_usd} for route in self.routes
            ],
            "excluded": self.excluded,
        }

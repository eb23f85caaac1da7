"""Tables of budgets, reservations, the ledger and the exact cache."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, String, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from agentflow.tables import timestamp_column


class BudgetRow(SQLModel, table=True):
    """A limit on spending."""

    __tablename__ = "budgets"
    __table_args__ = (
        Index("ix_budgets_org", "org_id", "run_id"),
        Index("ux_budgets_run", "org_id", "run_id", unique=True, postgresql_where=text("run_id IS NOT NULL")),
    )

    budget_id: str = Field(primary_key=True)
    org_id: str
    period: str
    limit_micro_usd: int = Field(sa_column=Column(BigInteger, nullable=False))
    run_id: str | None = None
    created_at: datetime = Field(sa_column=timestamp_column())


class BudgetWindowRow(SQLModel, table=True):
    """What one window of a budget has spent and holds."""

    __tablename__ = "budget_windows"

    budget_id: str = Field(primary_key=True, foreign_key="budgets.budget_id")
    window_start: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    org_id: str
    spent_micro_usd: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    held_micro_usd: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))


class ReservationRow(SQLModel, table=True):
    """Money set aside for one physical call, and in which windows."""

    __tablename__ = "reservations"
    __table_args__ = (
        Index("ix_reservations_open", "expires_at", postgresql_where=text("state IN ('held', 'uncertain')")),
        Index("ix_reservations_run", "org_id", "run_id"),
    )

    reservation_id: str = Field(primary_key=True)
    org_id: str
    run_id: str
    provider: str
    model: str
    ceiling_micro_usd: int = Field(sa_column=Column(BigInteger, nullable=False))
    state: str
    budget_ids: list[str] = Field(sa_column=Column(ARRAY(String), nullable=False))
    window_starts: list[datetime] = Field(sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False))
    settled_micro_usd: int | None = Field(default=None, sa_column=Column(BigInteger))
    created_at: datetime = Field(sa_column=timestamp_column())
    expires_at: datetime = Field(sa_column=timestamp_column())
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class LedgerEntryRow(SQLModel, table=True):
    """One side of a posting; append-only. The entries of a transaction add up to zero."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("transaction_id", "account"),
        Index("ix_ledger_entries_run", "org_id", "run_id"),
    )

    entry_id: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    org_id: str
    #: The reservation that the posting settles.
    transaction_id: str
    #: `spend:<provider>/<model>` or `funds`.
    account: str
    amount_micro_usd: int = Field(sa_column=Column(BigInteger, nullable=False))
    run_id: str
    reason: str
    #: Usage and the price that it was billed at.
    details: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=timestamp_column())


class RateBucketRow(SQLModel, table=True):
    """A token bucket, as the instant that its debt is paid at; an empty organisation is everyone's."""

    __tablename__ = "rate_buckets"

    org_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    owed_until: datetime = Field(sa_column=timestamp_column())


class RateBookingRow(SQLModel, table=True):
    """A turn that a step has booked, and has been charged for."""

    __tablename__ = "rate_bookings"

    org_id: str = Field(primary_key=True)
    booking_id: str = Field(primary_key=True)
    ready_at: datetime = Field(sa_column=timestamp_column())


class ExactCacheRow(SQLModel, table=True):
    """An answer by the digest of all that it was asked with."""

    __tablename__ = "exact_cache"

    org_id: str = Field(primary_key=True)
    cache_key: str = Field(primary_key=True)
    response: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=timestamp_column())
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, index=True))

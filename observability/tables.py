"""The table of finished spans."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from agentflow.tables import timestamp_column


class SpanRow(SQLModel, table=True):
    """A span of a run. Its id is derived from its place in the run, so a span that comes twice is one row."""

    __tablename__ = "spans"
    __table_args__ = (Index("ix_spans_run", "org_id", "run_id", "started_at"),)

    org_id: str = Field(primary_key=True)
    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    run_id: str
    parent_span_id: str | None = None
    name: str
    kind: str
    node_id: str | None = None
    item_index: int | None = None
    attempt: int
    status: str
    error_type: str | None = None
    started_at: datetime = Field(sa_column=timestamp_column())
    ended_at: datetime = Field(sa_column=timestamp_column())
    attributes: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))

"""Tables of prompts: their versions and their deployments."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Double, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from agentflow.tables import timestamp_column

_VERSION_KEY = ["prompt_versions.org_id", "prompt_versions.name", "prompt_versions.version"]


class PromptVersionRow(SQLModel, table=True):
    """A version of a prompt; never changed, never deleted."""

    __tablename__ = "prompt_versions"
    __table_args__ = (UniqueConstraint("org_id", "name", "digest", name="uq_prompt_versions_digest"),)

    org_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    digest: str
    template: str
    input_schema: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    created_at: datetime = Field(sa_column=timestamp_column())


class PromptDeploymentRow(SQLModel, table=True):
    """What is served under a prompt's name."""

    __tablename__ = "prompt_deployments"
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "name", "stable_version"], _VERSION_KEY, name="fk_prompt_deployments_stable"),
        ForeignKeyConstraint(["org_id", "name", "canary_version"], _VERSION_KEY, name="fk_prompt_deployments_canary"),
    )

    org_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    stable_version: int
    canary_version: int | None = None
    canary_ratio: float = Field(sa_column=Column(Double, nullable=False))
    #: Grows by one with each change.
    revision: int
    updated_at: datetime = Field(sa_column=timestamp_column())

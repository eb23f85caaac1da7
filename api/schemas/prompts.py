"""Prompts and deployments as JSON."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.json_object import JsonObject
from promptops.models import Deployment, PromptSummary, PromptVersion

PromptName = Annotated[str, Field(min_length=1, max_length=128)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]


class PromptCreation(BaseModel):
    """A new version of a prompt."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    name: PromptName
    template: Annotated[str, Field(min_length=1, max_length=1_000_000)] = Field(
        description='A Jinja2 template; `{% message "system" %}…{% endmessage %}` makes messages with roles.'
    )
    input_schema: JsonObject | None = Field(
        default=None, alias="schema", description="JSON Schema (Draft 2020-12) of the inputs; null accepts any."
    )


class Prompt(BaseModel):
    """A version of a prompt; never changes."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    name: str
    version: int
    digest: str = Field(description="SHA-256 of template and schema: equal content has one version.")
    template: str
    input_schema: dict[str, Any] | None = Field(alias="schema")
    created_at: datetime


class PromptListItem(BaseModel):
    """A prompt in a list."""

    name: str
    latest_version: int
    updated_at: datetime


class DeploymentWish(BaseModel):
    """Which versions are to be served."""

    model_config = ConfigDict(extra="forbid")

    prompt_name: PromptName
    stable_version: Version
    canary_version: Version | None = None
    canary_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="The share of runs that the canary serves; a run keeps its side while the share grows."
    )
    expected_revision: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)] | None = Field(
        default=None, description="Change only what is at this revision (0: nothing is deployed); else 409."
    )


class DeploymentState(BaseModel):
    """What is served under a prompt's name."""

    prompt_name: str
    stable_version: int
    canary_version: int | None
    canary_ratio: float
    revision: int
    updated_at: datetime


def prompt_of(version: PromptVersion) -> Prompt:
    """A version."""
    return Prompt(
        name=version.name,
        version=version.version,
        digest=version.digest,
        template=version.template,
        input_schema=dict(version.input_schema) if version.input_schema is not None else None,
        created_at=version.created_at,
    )


def prompt_list_item_of(summary: PromptSummary) -> PromptListItem:
    """A prompt in a list."""
    return PromptListItem(name=summary.name, latest_version=summary.latest_version, updated_at=summary.updated_at)


def deployment_of(deployment: Deployment) -> DeploymentState:
    """A deployment."""
    return DeploymentState(
        prompt_name=deployment.name,
        stable_version=deployment.stable_version,
        canary_version=deployment.canary_version,
        canary_ratio=deployment.canary_ratio,
        revision=deployment.revision,
        updated_at=deployment.updated_at,
    )

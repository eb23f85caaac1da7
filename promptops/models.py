"""The values of PromptOps: versions, deployments, references to them, and what rendering gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from agentflow.digest import Json, json_digest

Arm: TypeAlias = Literal["stable", "canary"]
Provenance: TypeAlias = Literal["template", "input"]
Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """One immutable version of a prompt."""

    org_id: str
    name: str
    #: Counts from 1 within the prompt.
    version: int
    #: Of the template and the schema together; see `prompt_digest`.
    digest: str
    template: str
    #: JSON Schema, Draft 2020-12; None accepts any inputs.
    input_schema: Mapping[str, Json] | None
    created_at: datetime

    @property
    def reference(self) -> str:
        """The reference that pins this version, such as `greeting@3`."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSummary:
    """A prompt in a list: its name and how far its versions go."""

    name: str
    latest_version: int
    #: When the latest version was made.
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDraft:
    """A prompt as somebody wrote it, before it is a version."""

    name: str
    template: str
    input_schema: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Which versions of a prompt are served, and how the traffic is split between them."""

    org_id: str
    name: str
    stable_version: int
    canary_version: int | None
    #: The share of sticky keys that the canary serves, from 0 to 1.
    canary_ratio: float
    #: Grows by one with each change; what compare-and-set compares.
    revision: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReference:
    """A parsed reference: a pinned version, or a label, or (with neither) the deployment."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPrompt:
    """The version that a reference stands for, and by which arm it was chosen."""

    name: str
    version: int
    digest: str
    arm: Literal["pinned", "stable", "canary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a rendered message that comes from one place."""

    text: str
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedMessage:
    """One message for a model. Its role was fixed by the template's syntax, never by its text."""

    role: Role
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The message as the model reads it."""
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """What reading a template tells without rendering it."""

    #: The inputs that the template looks up, on any path; without names that the template sets itself.
    variables: frozenset[str]
    #: The first line, counted from 1, that names each variable.
    variable_lines: Mapping[str, int]
    #: Those that every rendering looks up, and fails without.
    needed: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputProblem:
    """One thing that is wrong with the inputs; it never quotes a value of them."""

    #: JSON path, such as `$.pages[2].title`.
    path: str
    reason: str


def prompt_digest(*, template: str, input_schema: Mapping[str, Json] | None) -> str:
    """The SHA-256 that names a version's content: the canonical JSON of its template and its schema."""
    return json_digest({"template": template, "schema": input_schema})

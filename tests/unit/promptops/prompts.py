"""Prompt versions that were never stored, for tests of what needs no database."""

from collections.abc import Mapping
from datetime import UTC, datetime

from agentflow.digest import Json
from promptops.models import PromptVersion, RenderedMessage, prompt_digest
from promptops.rendering.renderer import PromptRenderer


def prompt_of(template: str, input_schema: Mapping[str, Json] | None = None) -> PromptVersion:
    return PromptVersion(
        org_id="org_test",
        name="greeting",
        version=3,
        digest=prompt_digest(template=template, input_schema=input_schema),
        template=template,
        input_schema=input_schema,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def render(template: str, **inputs: Json) -> tuple[RenderedMessage, ...]:
    return PromptRenderer().render(prompt_of(template), inputs)


def render_text(template: str, **inputs: Json) -> str:
    (message,) = render(template, **inputs)
    return message.text

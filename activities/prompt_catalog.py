"""The prompts that a document names, as signatures that the compiler checks it against."""

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncSession

from activities.catalog import builtin_functions, builtin_tools
from agentflow.clock import Clock
from agentflow.digest import Json
from promptops.errors import PromptError, PromptNotFound, TemplateInvalid
from promptops.input_schema import listed_properties
from promptops.models import TemplateFacts
from promptops.rendering.template_compiler import check_template
from promptops.service import PromptService
from runs.signatures import Catalog, StepSignature

#: What an llm node gives when its document asks for no schema.
TEXT_SCHEMA: Mapping[str, str] = {"type": "string"}
#: Versions or names that a message lists, and names that are looked through for the one that was meant.
_SHOWN = 12
_COMPARED = 1_000


async def load_catalog(
    session: AsyncSession,
    clock: Clock,
    *,
    org_id: str,
    prompts: Iterable[str],
    tools: Mapping[str, StepSignature] | None = None,
) -> Catalog:
    """What a document of this organisation may name; a prompt that cannot be used stands in `prompt_problems`.

    `tools` are those that ship with AgentFlow unless others are given.
    """
    service = PromptService(session, clock)
    found: dict[str, StepSignature] = {}
    problems: dict[str, str] = {}
    for reference in prompts:
        try:
            # Any key will do: all versions that a label may lead to serve the same callers.
            resolved = await service.resolve(org_id=org_id, reference=reference, sticky_key="")
            version = await service.get_version(org_id=org_id, name=resolved.name, version=resolved.version)
        except PromptNotFound as error:
            problems[reference] = f"{error}{await _what_there_is(service, org_id, error)}"
            continue
        except PromptError as error:
            problems[reference] = str(error)
            continue
        found[reference] = prompt_signature(
            reference, version.template, version.input_schema, is_pinned=resolved.arm == "pinned"
        )
    offered = builtin_tools() if tools is None else tools
    return Catalog(tools=offered, functions=builtin_functions(), prompts=found, prompt_problems=problems)


def prompt_signature(
    reference: str, template: str, schema: Mapping[str, Json] | None, *, is_pinned: bool
) -> StepSignature:
    """What a node must give to a prompt, by its schema and its template.

    Another version may come to serve a reference that is not pinned, so what that looks at is not known.
    """
    facts = _facts_of(template)
    listed = listed_properties(schema) if schema is not None else frozenset[str]()
    return StepSignature(
        name=reference,
        description=f"prompt {reference}",
        input_schema=schema,
        output_schema=TEXT_SCHEMA,
        needs=facts.needed,
        takes=facts.variables | listed if is_pinned and listed is not None else None,
    )


@lru_cache(maxsize=256)
def _facts_of(template: str) -> TemplateFacts:
    try:
        return check_template(template)
    except TemplateInvalid:
        # Stored under rules that have changed since: nothing is certain.
        return TemplateFacts(variables=frozenset(), variable_lines={}, needed=frozenset())


async def _what_there_is(service: PromptService, org_id: str, missing: PromptNotFound) -> str:
    """The versions of a prompt, or the name that may have been meant."""
    if missing.version is not None:
        versions = await service.list_versions(org_id=org_id, name=missing.name, limit=_SHOWN)
        return f"; it has {', '.join(str(version.version) for version in versions)}"
    known = [prompt.name for prompt in await service.list_prompts(org_id=org_id, limit=_COMPARED)]
    close = difflib.get_close_matches(missing.name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(repr(name) for name in known)}" if 0 < len(known) <= _SHOWN else ""

"""The prompts that a document names, as signatures that the compiler checks it against."""

from collections.abc import Iterable, Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from activities.catalog import builtin_functions, builtin_tools
from agentflow.clock import Clock
from promptops.errors import PromptError
from promptops.models import PromptVersion
from promptops.service import PromptService
from runs.signatures import Catalog, StepSignature

#: What an llm node gives when its document asks for no schema.
TEXT_SCHEMA: Mapping[str, str] = {"type": "string"}


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
        except PromptError as error:
            problems[reference] = str(error)
            continue
        found[reference] = _signature(reference, version)
    offered = builtin_tools() if tools is None else tools
    return Catalog(tools=offered, functions=builtin_functions(), prompts=found, prompt_problems=problems)


def _signature(reference: str, version: PromptVersion) -> StepSignature:
    return StepSignature(
        name=reference,
        description=f"prompt {version.reference}",
        input_schema=version.input_schema,
        output_schema=TEXT_SCHEMA,
    )

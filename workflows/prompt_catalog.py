"""The prompts that a document names, as they are stored, and why others cannot be used."""

import difflib
import json
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.clock import Clock
from promptops.errors import PromptError, PromptNotFound
from promptops.service import PromptService
from workflows.prompt_signatures import StoredPrompt

#: Versions or names that a message lists, and names that are looked through for the one that was meant.
_SHOWN = 12
_COMPARED = 1_000


async def find_prompts(
    session: AsyncSession, clock: Clock, *, org_id: str, references: Iterable[str]
) -> tuple[dict[str, StoredPrompt], dict[str, str]]:
    """The prompts of an organisation by reference, and of those that cannot be used the reason."""
    service = PromptService(session, clock)
    found: dict[str, StoredPrompt] = {}
    problems: dict[str, str] = {}
    for reference in references:
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
        found[reference] = StoredPrompt(
            template=version.template,
            input_schema=json.dumps(version.input_schema).encode() if version.input_schema is not None else None,
            is_pinned=resolved.arm == "pinned",
        )
    return found, problems


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

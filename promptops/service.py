"""What can be done with prompts: make versions, deploy them, and find the version that a reference stands for."""

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.clock import Clock
from agentflow.digest import Json
from promptops.assignment import assign
from promptops.errors import (
    DeploymentConflict,
    DeploymentInvalid,
    PromptNotDeployed,
    PromptNotFound,
    TemplateInvalid,
)
from promptops.input_schema import check_input_schema, undeclared_variables
from promptops.models import Deployment, PromptReference, PromptSummary, PromptVersion, ResolvedPrompt, prompt_digest
from promptops.prompt_reference import STABLE_LABEL, check_prompt_name, parse_prompt_reference
from promptops.rendering.template_compiler import check_template
from promptops.repository import PromptRepository

_LARGEST_INTEGER = 2**31 - 1


#: Has `check_content` done somewhere, with a version's template and schema.
ContentCheck = Callable[[str, Mapping[str, Json] | None], Awaitable[None]]


async def _check_here(template: str, input_schema: Mapping[str, Json] | None) -> None:
    check_content(template, input_schema)


class PromptService:
    """The use cases of prompts, within the caller's transaction."""

    def __init__(self, session: AsyncSession, clock: Clock, *, check: ContentCheck = _check_here) -> None:
        """`check` is where versions are checked, which takes its time for long ones: right here unless it is said."""
        self._prompts = PromptRepository(session)
        self._clock, self._check = clock, check

    async def create_version(
        self, *, org_id: str, name: str, template: str, input_schema: Mapping[str, Json] | None
    ) -> PromptVersion:
        """The version with this content: a new one, or the one that already has it.

        Raises InvalidPromptName, TemplateInvalid or InputSchemaInvalid; nothing is stored then.
        """
        check_prompt_name(name)
        await self._check(template, input_schema)
        digest = prompt_digest(template=template, input_schema=input_schema)
        known = await self._prompts.find_by_digest(org_id=org_id, name=name, digest=digest)
        if known is not None:
            return known
        added = await self._prompts.add_version(
            org_id=org_id,
            name=name,
            digest=digest,
            template=template,
            input_schema=input_schema,
            created_at=self._clock.now(),
        )
        return added or await self._version_with(org_id=org_id, name=name, digest=digest)

    async def get_version(self, *, org_id: str, name: str, version: int | None = None) -> PromptVersion:
        """The version of this number, or the latest; raises PromptNotFound."""
        if version is None:
            found = await self._prompts.find_latest(org_id=org_id, name=name)
        elif 0 < version <= _LARGEST_INTEGER:
            found = await self._prompts.find_version(org_id=org_id, name=name, version=version)
        else:
            found = None
        if found is None:
            raise await self._not_found(org_id, name, version)
        return found

    async def list_versions(
        self, *, org_id: str, name: str, before_version: int | None = None, limit: int = 50
    ) -> list[PromptVersion]:
        """A page of versions, newest first; the next page begins before the last one's number.

        Raises PromptNotFound when the prompt has no version at all.
        """
        page = await self._prompts.list_versions(org_id=org_id, name=name, before=before_version, limit=limit)
        if not page and before_version is None:
            raise PromptNotFound(name=name)
        return page

    async def list_prompts(self, *, org_id: str, after: str = "", limit: int = 50) -> list[PromptSummary]:
        """A page of prompts by name; the next page begins after the last one's name."""
        return await self._prompts.list_prompts(org_id=org_id, after=after, limit=limit)

    async def deploy(
        self,
        *,
        org_id: str,
        name: str,
        stable_version: int,
        canary_version: int | None = None,
        canary_ratio: float = 0.0,
        expected_revision: int | None = None,
    ) -> Deployment:
        """Serves these versions under the prompt's name from here on.

        With `expected_revision` the change is made only if the deployment is at that revision (0: there is none).
        Raises DeploymentInvalid, PromptNotFound for a version that does not exist, and DeploymentConflict.
        """
        _check_split(name, canary_version, canary_ratio, expected_revision)
        for version in (stable_version, canary_version):
            if version is not None:
                await self._digest_of(org_id=org_id, name=name, version=version)
        deployment = await self._prompts.write_deployment(
            org_id=org_id,
            name=name,
            stable_version=stable_version,
            canary_version=canary_version,
            canary_ratio=canary_ratio,
            expected_revision=expected_revision,
            updated_at=self._clock.now(),
        )
        if deployment is None:
            raise DeploymentConflict(name=name, expected_revision=expected_revision or 0)
        return deployment

    async def get_deployment(self, *, org_id: str, name: str) -> Deployment:
        """What is served under the name; raises PromptNotDeployed, or PromptNotFound when there is no such prompt."""
        deployment = await self._prompts.find_deployment(org_id=org_id, name=name)
        if deployment is not None:
            return deployment
        if await self._prompts.find_latest(org_id=org_id, name=name) is None:
            raise PromptNotFound(name=name)
        raise PromptNotDeployed(name=name)

    async def resolve(self, *, org_id: str, reference: str, sticky_key: str) -> ResolvedPrompt:
        """The version that `reference` stands for, for this key; the same key keeps its arm while the ratio grows.

        Raises InvalidPromptReference, PromptNotFound (also for a label that there is not) or PromptNotDeployed.
        """
        parsed = parse_prompt_reference(reference)
        if parsed.version is not None:
            digest = await self._digest_of(org_id=org_id, name=parsed.name, version=parsed.version)
            return ResolvedPrompt(name=parsed.name, version=parsed.version, digest=digest, arm="pinned")
        if parsed.label not in {None, STABLE_LABEL}:
            raise PromptNotFound(name=parsed.name, label=parsed.label)
        return await self._resolve_deployment(org_id, parsed, sticky_key)

    async def _resolve_deployment(self, org_id: str, reference: PromptReference, sticky_key: str) -> ResolvedPrompt:
        deployment = await self.get_deployment(org_id=org_id, name=reference.name)
        arm = assign(sticky_key, reference.name, deployment.canary_ratio)
        version = deployment.stable_version
        if arm == "canary" and deployment.canary_version is not None:
            version = deployment.canary_version
        digest = await self._digest_of(org_id=org_id, name=reference.name, version=version)
        return ResolvedPrompt(name=reference.name, version=version, digest=digest, arm=arm)

    async def _digest_of(self, *, org_id: str, name: str, version: int) -> str:
        digest = await self._prompts.find_digest(org_id=org_id, name=name, version=version)
        if digest is None:
            raise await self._not_found(org_id, name, version)
        return digest

    async def _not_found(self, org_id: str, name: str, version: int | None) -> PromptNotFound:
        """Whether it is the version that there is not, or the prompt."""
        known = await self._prompts.find_latest(org_id=org_id, name=name) if version is not None else None
        return PromptNotFound(name=name, version=version if known is not None else None)

    async def _version_with(self, *, org_id: str, name: str, digest: str) -> PromptVersion:
        """The version that somebody else stored between our look and our insert."""
        found = await self._prompts.find_by_digest(org_id=org_id, name=name, digest=digest)
        if found is None:
            raise PromptNotFound(name=name)
        return found


def check_content(template: str, input_schema: Mapping[str, Json] | None) -> None:
    """Looks at what a version is to have; raises TemplateInvalid or InputSchemaInvalid."""
    facts = check_template(template)
    if input_schema is None:
        return
    check_input_schema(input_schema)
    undeclared = undeclared_variables(input_schema, facts.variables)
    if undeclared:
        first = min(undeclared, key=lambda variable: (facts.variable_lines[variable], variable))
        names = ", ".join(repr(variable) for variable in sorted(undeclared))
        raise TemplateInvalid(
            line=facts.variable_lines[first],
            reason=f"it uses what the schema's properties do not list: {names}; add them to the schema",
        )


def _check_split(name: str, canary_version: int | None, canary_ratio: float, expected_revision: int | None) -> None:
    if not 0 <= canary_ratio <= 1:
        raise DeploymentInvalid(name=name, reason=f"the canary ratio is {canary_ratio}; it must be from 0 to 1")
    if canary_ratio > 0 and canary_version is None:
        raise DeploymentInvalid(name=name, reason="a canary ratio above 0 needs a canary version")
    if expected_revision is not None and not 0 <= expected_revision <= _LARGEST_INTEGER:
        raise DeploymentInvalid(name=name, reason=f"there is no revision {expected_revision}")

"""All SQL of PromptOps. Never commits; everything is asked for within one organisation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import Json, canonical_json
from promptops.models import Deployment, PromptSummary, PromptVersion

_VERSION_COLUMNS = "org_id, name, version, digest, template, input_schema, created_at"
_DEPLOYMENT_COLUMNS = "org_id, name, stable_version, canary_version, canary_ratio, revision, updated_at"

# The fragments that are put together below are this module's own constants; values are always parameters.
_INSERT_VERSION = text(f"""
    INSERT INTO prompt_versions ({_VERSION_COLUMNS})
    SELECT CAST(:org_id AS varchar), CAST(:name AS varchar),
           coalesce((SELECT max(version) FROM prompt_versions WHERE org_id = :org_id AND name = :name), 0) + 1,
           CAST(:digest AS varchar), CAST(:template AS varchar), CAST(:input_schema AS jsonb),
           CAST(:created_at AS timestamptz)
    ON CONFLICT (org_id, name, digest) DO NOTHING
    RETURNING {_VERSION_COLUMNS}
""")
_FIND_BY_DIGEST = text(f"""
    SELECT {_VERSION_COLUMNS} FROM prompt_versions WHERE org_id = :org_id AND name = :name AND digest = :digest
""")
_FIND_VERSION = text(f"""
    SELECT {_VERSION_COLUMNS} FROM prompt_versions WHERE org_id = :org_id AND name = :name AND version = :version
""")
_FIND_DIGEST = text("""
    SELECT digest FROM prompt_versions WHERE org_id = :org_id AND name = :name AND version = :version
""")
_FIND_LATEST = text(f"""
    SELECT {_VERSION_COLUMNS} FROM prompt_versions WHERE org_id = :org_id AND name = :name
    ORDER BY version DESC LIMIT 1
""")
_LIST_VERSIONS = text(f"""
    SELECT {_VERSION_COLUMNS} FROM prompt_versions
    WHERE org_id = :org_id AND name = :name AND (CAST(:before AS bigint) IS NULL OR version < :before)
    ORDER BY version DESC LIMIT :limit
""")
_LIST_PROMPTS = text("""
    SELECT DISTINCT ON (name) name, version AS latest_version, created_at AS updated_at FROM prompt_versions
    WHERE org_id = :org_id AND name > :after
    ORDER BY name, version DESC LIMIT :limit
""")
_WRITE_DEPLOYMENT = text(f"""
    INSERT INTO prompt_deployments ({_DEPLOYMENT_COLUMNS})
    SELECT CAST(:org_id AS varchar), CAST(:name AS varchar), CAST(:stable_version AS integer),
           CAST(:canary_version AS integer), CAST(:canary_ratio AS double precision), 1,
           CAST(:updated_at AS timestamptz)
    WHERE coalesce(CAST(:expected_revision AS integer), 0) = 0 OR EXISTS (
        SELECT FROM prompt_deployments
        WHERE org_id = :org_id AND name = :name AND revision = CAST(:expected_revision AS integer)
    )
    ON CONFLICT (org_id, name) DO UPDATE SET
        stable_version = excluded.stable_version,
        canary_version = excluded.canary_version,
        canary_ratio = excluded.canary_ratio,
        revision = prompt_deployments.revision + 1,
        updated_at = excluded.updated_at
    WHERE coalesce(CAST(:expected_revision AS integer), prompt_deployments.revision) = prompt_deployments.revision
    RETURNING {_DEPLOYMENT_COLUMNS}
""")
_FIND_DEPLOYMENT = text(f"""
    SELECT {_DEPLOYMENT_COLUMNS} FROM prompt_deployments WHERE org_id = :org_id AND name = :name
""")


class PromptRepository:
    """Rows of prompts and their deployments."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_version(
        self,
        *,
        org_id: str,
        name: str,
        digest: str,
        template: str,
        input_schema: Mapping[str, Json] | None,
        created_at: datetime,
    ) -> PromptVersion | None:
        """Stores the next version; None when this content already has one.

        Two that add to one prompt at the same time go one after the other: a lock is held to the end of the
        transaction, so that versions are consecutive and none is lost.
        """
        await self._session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:prompt, 0))"),
            {"prompt": f"prompt_versions/{org_id}/{name}"},
        )
        row = await self._one(
            _INSERT_VERSION,
            org_id=org_id,
            name=name,
            digest=digest,
            template=template,
            input_schema=None if input_schema is None else canonical_json(input_schema).decode(),
            created_at=created_at,
        )
        return None if row is None else PromptVersion(**row)

    async def find_by_digest(self, *, org_id: str, name: str, digest: str) -> PromptVersion | None:
        """The version that has this content."""
        row = await self._one(_FIND_BY_DIGEST, org_id=org_id, name=name, digest=digest)
        return None if row is None else PromptVersion(**row)

    async def find_version(self, *, org_id: str, name: str, version: int) -> PromptVersion | None:
        """The version of this number."""
        row = await self._one(_FIND_VERSION, org_id=org_id, name=name, version=version)
        return None if row is None else PromptVersion(**row)

    async def find_latest(self, *, org_id: str, name: str) -> PromptVersion | None:
        """The version of the highest number."""
        row = await self._one(_FIND_LATEST, org_id=org_id, name=name)
        return None if row is None else PromptVersion(**row)

    async def find_digest(self, *, org_id: str, name: str, version: int) -> str | None:
        """The digest of a version, without its content."""
        row = await self._one(_FIND_DIGEST, org_id=org_id, name=name, version=version)
        return None if row is None else str(row["digest"])

    async def list_versions(self, *, org_id: str, name: str, before: int | None, limit: int) -> list[PromptVersion]:
        """Versions from the newest on, below `before` when that is given."""
        result = await self._session.execute(
            _LIST_VERSIONS, {"org_id": org_id, "name": name, "before": before, "limit": limit}
        )
        return [PromptVersion(**row) for row in result.mappings()]

    async def list_prompts(self, *, org_id: str, after: str, limit: int) -> list[PromptSummary]:
        """Prompts in the order of their names, past the name `after`."""
        result = await self._session.execute(_LIST_PROMPTS, {"org_id": org_id, "after": after, "limit": limit})
        return [PromptSummary(**row) for row in result.mappings()]

    async def write_deployment(
        self,
        *,
        org_id: str,
        name: str,
        stable_version: int,
        canary_version: int | None,
        canary_ratio: float,
        expected_revision: int | None,
        updated_at: datetime,
    ) -> Deployment | None:
        """Makes or replaces the deployment; None when it is not at `expected_revision` (0: there must be none)."""
        row = await self._one(
            _WRITE_DEPLOYMENT,
            org_id=org_id,
            name=name,
            stable_version=stable_version,
            canary_version=canary_version,
            canary_ratio=canary_ratio,
            expected_revision=expected_revision,
            updated_at=updated_at,
        )
        return None if row is None else Deployment(**row)

    async def find_deployment(self, *, org_id: str, name: str) -> Deployment | None:
        """The deployment of a prompt."""
        row = await self._one(_FIND_DEPLOYMENT, org_id=org_id, name=name)
        return None if row is None else Deployment(**row)

    async def _one(self, statement: Any, **parameters: Any) -> RowMapping | None:
        result = await self._session.execute(statement, parameters)
        return result.mappings().one_or_none()

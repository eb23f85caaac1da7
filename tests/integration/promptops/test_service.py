import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.digest import Json
from agentflow.ids import new_id
from promptops.errors import (
    DeploymentConflict,
    DeploymentInvalid,
    InputSchemaInvalid,
    InvalidPromptName,
    InvalidPromptReference,
    PromptNotDeployed,
    PromptNotFound,
    TemplateInvalid,
)
from promptops.models import Deployment, PromptVersion, ResolvedPrompt, prompt_digest
from promptops.service import PromptService

pytestmark = pytest.mark.integration

SCHEMA: dict[str, Json] = {"type": "object", "properties": {"content": {"type": "string"}}}


class Prompts:
    """The service as an edge uses it: one transaction for each call."""

    def __init__(self, database: Database, clock: SystemClock, org_id: str) -> None:
        self._database, self._clock, self._org_id = database, clock, org_id

    async def create(
        self, template: str, *, name: str = "greeting", schema: Mapping[str, Json] | None = None
    ) -> PromptVersion:
        async with self._database.transaction() as session:
            return await PromptService(session, self._clock).create_version(
                org_id=self._org_id, name=name, template=template, input_schema=schema
            )

    async def get(self, version: int | None = None, *, name: str = "greeting") -> PromptVersion:
        async with self._database.transaction() as session:
            return await PromptService(session, self._clock).get_version(
                org_id=self._org_id, name=name, version=version
            )

    async def versions(self, *, before: int | None = None, limit: int = 50, name: str = "greeting") -> list[int]:
        async with self._database.transaction() as session:
            page = await PromptService(session, self._clock).list_versions(
                org_id=self._org_id, name=name, before_version=before, limit=limit
            )
        return [version.version for version in page]

    async def names(self, *, after: str = "", limit: int = 50) -> list[tuple[str, int]]:
        async with self._database.transaction() as session:
            page = await PromptService(session, self._clock).list_prompts(org_id=self._org_id, after=after, limit=limit)
        return [(prompt.name, prompt.latest_version) for prompt in page]

    async def deploy(
        self,
        stable: int,
        canary: int | None = None,
        *,
        ratio: float = 0.0,
        expected: int | None = None,
        name: str = "greeting",
    ) -> Deployment:
        async with self._database.transaction() as session:
            return await PromptService(session, self._clock).deploy(
                org_id=self._org_id,
                name=name,
                stable_version=stable,
                canary_version=canary,
                canary_ratio=ratio,
                expected_revision=expected,
            )

    async def deployment(self, *, name: str = "greeting") -> Deployment:
        async with self._database.transaction() as session:
            return await PromptService(session, self._clock).get_deployment(org_id=self._org_id, name=name)

    async def resolve(self, reference: str, *, key: str = "run_1") -> ResolvedPrompt:
        async with self._database.transaction() as session:
            return await PromptService(session, self._clock).resolve(
                org_id=self._org_id, reference=reference, sticky_key=key
            )


@pytest.fixture
def prompts(database: Database, clock: SystemClock, org_id: str) -> Prompts:
    return Prompts(database, clock, org_id)


async def test_a_version_is_read_back_as_it_was_made(prompts: Prompts, org_id: str) -> None:
    made = await prompts.create("Analyze: {{content}}", schema=SCHEMA)

    assert made == await prompts.get(1)
    assert made == await prompts.get()
    assert (org_id, "greeting", 1) == (made.org_id, made.name, made.version)
    assert (made.template, made.input_schema) == ("Analyze: {{content}}", SCHEMA)
    assert prompt_digest(template="Analyze: {{content}}", input_schema=SCHEMA) == made.digest


async def test_a_version_without_a_schema_is_told_from_one_with_an_empty_schema(prompts: Prompts) -> None:
    without = await prompts.create("Hello")
    empty = await prompts.create("Hello", schema={})

    assert (without.input_schema, empty.input_schema) == (None, {})
    assert without == await prompts.get(1)
    assert empty == await prompts.get(2)


async def test_the_same_content_is_the_same_version(prompts: Prompts) -> None:
    first = await prompts.create("Hello")
    second = await prompts.create("Hello {{ name }}")

    again = await prompts.create("Hello")

    assert first == again
    assert await prompts.versions() == [2, 1]
    assert second == await prompts.get()


async def test_twenty_creations_at_once_give_consecutive_versions(prompts: Prompts) -> None:
    made = await asyncio.gather(*(prompts.create(f"Hello number {number}") for number in range(20)))

    assert list(range(1, 21)) == sorted(version.version for version in made)
    for version in made:
        assert version == await prompts.get(version.version)


async def test_twenty_creations_of_one_content_at_once_give_one_version(prompts: Prompts) -> None:
    made = await asyncio.gather(*(prompts.create("Hello") for _ in range(20)))

    assert {1} == {version.version for version in made}
    assert await prompts.versions() == [1]


async def test_a_creation_that_is_rolled_back_leaves_no_gap(
    prompts: Prompts, database: Database, clock: SystemClock, org_id: str
) -> None:
    await prompts.create("one")
    async with database.transaction() as session:
        lost = await PromptService(session, clock).create_version(
            org_id=org_id, name="greeting", template="lost", input_schema=None
        )
        await session.rollback()

    kept = await prompts.create("two")

    assert (lost.version, kept.version) == (2, 2)


@pytest.mark.parametrize(
    ("name", "template", "schema", "refusal"),
    [
        ("not a name", "x", None, InvalidPromptName),
        ("greeting", "{{ x", None, TemplateInvalid),
        ("greeting", "{{ x.__class__ }}", None, TemplateInvalid),
        ("greeting", "a\x00b", None, TemplateInvalid),
        ("greeting", "x", {"type": "strin"}, InputSchemaInvalid),
        ("greeting", "x", {"title": "a\x00b"}, InputSchemaInvalid),
        ("greeting", "x", {"$ref": "https://example.com/s.json"}, InputSchemaInvalid),
    ],
)
async def test_bad_content_is_refused_and_nothing_is_stored(
    prompts: Prompts, name: str, template: str, schema: dict[str, Json] | None, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await prompts.create(template, name=name, schema=schema)

    assert await prompts.names() == []


async def test_a_variable_that_the_schema_does_not_list_is_refused_with_its_line(prompts: Prompts) -> None:
    with pytest.raises(TemplateInvalid, match="'kontent', 'nome'") as refusal:
        await prompts.create("{{ content }}\n{{ nome }}\n{{ kontent }}", schema=SCHEMA)

    assert refusal.value.line == 2


async def test_versions_come_in_pages_from_the_newest_on(prompts: Prompts) -> None:
    for number in range(5):
        await prompts.create(f"Hello number {number}")

    first = await prompts.versions(limit=2)
    second = await prompts.versions(limit=2, before=first[-1])
    last = await prompts.versions(limit=2, before=1)

    assert (first, second, last) == ([5, 4], [3, 2], [])


async def test_prompts_come_in_pages_by_name_with_their_latest_version(prompts: Prompts) -> None:
    for name in ("cherry", "apple", "banana", "apple"):
        await prompts.create(f"Hello {len(await prompts.names())}", name=name)

    first = await prompts.names(limit=2)
    second = await prompts.names(limit=2, after=first[-1][0])

    assert (first, second) == ([("apple", 2), ("banana", 1)], [("cherry", 1)])


@pytest.mark.parametrize("version", [2, 0, -1, 2**31, 10**30])
async def test_a_version_that_is_not_there_is_not_found(prompts: Prompts, version: int) -> None:
    await prompts.create("Hello")

    with pytest.raises(PromptNotFound) as refusal:
        await prompts.get(version)

    assert ("greeting", version) == (refusal.value.name, refusal.value.version)


async def test_a_version_of_a_prompt_that_is_not_there_is_no_missing_version(prompts: Prompts) -> None:
    for attempt in (prompts.get(1), prompts.resolve("greeting@1")):
        with pytest.raises(PromptNotFound, match="there is no prompt 'greeting'"):
            await attempt


async def test_a_prompt_that_is_not_there_is_not_found(prompts: Prompts) -> None:
    for attempt in (prompts.get(), prompts.versions(), prompts.deployment(), prompts.resolve("greeting@stable")):
        with pytest.raises(PromptNotFound):
            await attempt


async def test_one_organisations_prompts_are_invisible_to_another(
    prompts: Prompts, database: Database, clock: SystemClock
) -> None:
    made = await prompts.create("Hello")
    await prompts.deploy(1)
    strangers = Prompts(database, clock, new_id("org"))

    for attempt in (strangers.get(1), strangers.get(), strangers.versions(), strangers.deployment()):
        with pytest.raises(PromptNotFound):
            await attempt
    for reference in ("greeting", "greeting@1", "greeting@stable"):
        with pytest.raises(PromptNotFound):
            await strangers.resolve(reference)
    with pytest.raises(PromptNotFound):
        await strangers.deploy(1)
    assert await strangers.names() == []
    assert (1, made.digest) == ((await strangers.create("Hello")).version, made.digest)


async def test_a_deployment_is_made_replaced_and_read_back(prompts: Prompts, org_id: str) -> None:
    await prompts.create("one")
    await prompts.create("two")

    made = await prompts.deploy(1)
    replaced = await prompts.deploy(1, 2, ratio=0.1)

    assert (made.stable_version, made.canary_version, made.canary_ratio, made.revision) == (1, None, 0.0, 1)
    assert (
        replaced.stable_version,
        replaced.canary_version,
        replaced.canary_ratio,
        replaced.revision,
    ) == (1, 2, 0.1, 2)
    assert org_id == replaced.org_id
    assert replaced == await prompts.deployment()


@pytest.mark.parametrize(
    ("canary", "ratio", "expected"),
    [(None, 0.1, None), (1, -0.1, None), (1, 1.1, None), (1, float("nan"), None), (1, 0.1, -1), (1, 0.1, 2**31)],
)
async def test_a_deployment_that_contradicts_itself_is_refused(
    prompts: Prompts, canary: int | None, ratio: float, expected: int | None
) -> None:
    await prompts.create("one")

    with pytest.raises(DeploymentInvalid):
        await prompts.deploy(1, canary, ratio=ratio, expected=expected)
    with pytest.raises(PromptNotDeployed):
        await prompts.deployment()


@pytest.mark.parametrize(("stable", "canary"), [(2, None), (1, 2), (0, None), (2**40, None)])
async def test_a_version_that_is_not_there_cannot_be_deployed(
    prompts: Prompts, stable: int, canary: int | None
) -> None:
    await prompts.create("one")

    with pytest.raises(PromptNotFound):
        await prompts.deploy(stable, canary)
    with pytest.raises(PromptNotDeployed):
        await prompts.deployment()


async def test_the_database_itself_refuses_a_deployment_of_nothing(database: Database, org_id: str) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as session:
            await session.execute(
                text("INSERT INTO prompt_deployments VALUES (:org_id, 'greeting', 1, NULL, 0, 1, now())"),
                {"org_id": org_id},
            )


async def test_a_deployment_changes_only_at_the_revision_that_was_expected(prompts: Prompts) -> None:
    await prompts.create("one")
    await prompts.create("two")

    with pytest.raises(DeploymentConflict):
        await prompts.deploy(1, expected=1)
    await prompts.deploy(1, expected=0)
    with pytest.raises(DeploymentConflict):
        await prompts.deploy(2, expected=0)
    await prompts.deploy(2, expected=1)
    with pytest.raises(DeploymentConflict) as refusal:
        await prompts.deploy(1, expected=1)

    assert (refusal.value.name, refusal.value.expected_revision) == ("greeting", 1)
    assert ((await prompts.deployment()).stable_version, (await prompts.deployment()).revision) == (2, 2)


@pytest.mark.parametrize("expected", [0, 1])
async def test_of_twenty_changes_at_once_exactly_one_wins(prompts: Prompts, expected: int) -> None:
    await prompts.create("one")
    for _ in range(expected):
        await prompts.deploy(1)

    results = await asyncio.gather(*(prompts.deploy(1, expected=expected) for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(result, Deployment) for result in results) == 1
    assert sum(isinstance(result, DeploymentConflict) for result in results) == 19
    assert expected + 1 == (await prompts.deployment()).revision


async def test_changes_at_once_that_expect_nothing_all_count(prompts: Prompts) -> None:
    await prompts.create("one")

    await asyncio.gather(*(prompts.deploy(1) for _ in range(20)))

    assert (await prompts.deployment()).revision == 20


async def test_a_pinned_reference_needs_no_deployment(prompts: Prompts) -> None:
    made = await prompts.create("one")
    await prompts.create("two")

    resolved = await prompts.resolve("greeting@1")

    assert ResolvedPrompt(name="greeting", version=1, digest=made.digest, arm="pinned") == resolved


@pytest.mark.parametrize("reference", ["greeting", "greeting@stable"])
async def test_a_reference_to_the_deployment_without_one_tells_how_to_pin(prompts: Prompts, reference: str) -> None:
    await prompts.create("one")

    with pytest.raises(PromptNotDeployed, match="greeting@1"):
        await prompts.resolve(reference)


@pytest.mark.parametrize("label", ["latest", "production", "canary", "Stable"])
async def test_a_label_that_is_not_there_never_falls_back(prompts: Prompts, label: str) -> None:
    await prompts.create("one")
    await prompts.deploy(1)

    with pytest.raises(PromptNotFound) as refusal:
        await prompts.resolve(f"greeting@{label}")

    assert label == refusal.value.label


async def test_a_missing_pinned_version_never_falls_back(prompts: Prompts) -> None:
    await prompts.create("one")
    await prompts.deploy(1)

    with pytest.raises(PromptNotFound):
        await prompts.resolve("greeting@2")
    with pytest.raises(InvalidPromptReference):
        await prompts.resolve("greeting@1@stable")


async def test_the_deployment_splits_keys_between_its_arms_and_keeps_them_there(prompts: Prompts) -> None:
    stable, canary = await prompts.create("one"), await prompts.create("two")
    keys = [f"run_{number}" for number in range(40)]

    await prompts.deploy(1, 2, ratio=0.3)
    early = {key: await prompts.resolve("greeting@stable", key=key) for key in keys}
    await prompts.deploy(1, 2, ratio=0.6)
    late = {key: await prompts.resolve("greeting", key=key) for key in keys}

    expected = {"stable": (1, stable.digest), "canary": (2, canary.digest)}
    for resolved in [*early.values(), *late.values()]:
        assert expected[resolved.arm] == (resolved.version, resolved.digest)
    early_canary = {key for key in keys if early[key].arm == "canary"}
    late_canary = {key for key in keys if late[key].arm == "canary"}
    assert set() < early_canary < late_canary < set(keys)

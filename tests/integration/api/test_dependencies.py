"""Who may come in, and that nobody sees what is another organisation's."""

import httpx
import pytest

from agentflow.digest import sha256_hex
from agentflow.tenant_repository import TenantRepository
from tests.integration.api.conftest import Tenant
from tests.integration.api.documents import ended, register_echo, submit
from tests.integration.api.problems import problem_of
from tests.workflows.platform import Platform

PATH = "/api/v1/workflows"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer af_wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"X-API-Key": "af_wrong"},
        {"X-API-Key": ""},
    ],
)
async def test_a_missing_or_wrong_key_is_refused_with_a_challenge(
    anonymous: httpx.AsyncClient, headers: dict[str, str | bytes]
) -> None:
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]

    answer = await anonymous.get(PATH, headers=raw)

    problem_of(answer, status=401, code="auth.not_authenticated")
    assert "Bearer" == answer.headers["www-authenticate"]
    assert "af_wrong" not in answer.text


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
async def test_a_key_comes_in_by_either_header(anonymous: httpx.AsyncClient, tenant: Tenant, header: str) -> None:
    value = tenant.api_key if header == "X-API-Key" else f"Bearer {tenant.api_key}"

    assert 200 == (await anonymous.get(PATH, headers={header: value})).status_code


async def test_every_operation_on_data_asks_for_a_key(anonymous: httpx.AsyncClient) -> None:
    document = (await anonymous.get("/openapi.json")).json()
    guarded = [
        (method, path)
        for path, operations in document["paths"].items()
        for method in operations
        if path.startswith("/api/")
    ]

    answers = [await anonymous.request(method, path.replace("{version}", "1")) for method, path in guarded]

    assert len(guarded) > 15
    assert {401} == {answer.status_code for answer in answers}


async def test_a_revoked_key_lets_nobody_in(
    api: httpx.AsyncClient, platform: Platform, tenant: Tenant, stranger: Tenant
) -> None:
    async def revoke(org_id: str) -> bool:
        async with platform.resources.database.transaction() as session:
            now = platform.resources.clock.now()
            return await TenantRepository(session).revoke_key(org_id=org_id, key_id=tenant.key_id, now=now)

    assert not await revoke(stranger.org_id)
    assert 200 == (await api.get(PATH)).status_code

    assert await revoke(tenant.org_id)

    answer = await api.get(PATH)
    problem_of(answer, status=401, code="auth.not_authenticated")
    assert "Bearer" == answer.headers["www-authenticate"]
    assert not await revoke(tenant.org_id)


async def test_a_key_is_stored_as_its_hash_only(platform: Platform, tenant: Tenant) -> None:
    [row] = await platform.rows("SELECT * FROM api_keys WHERE key_id = :key_id", key_id=tenant.key_id)

    assert sha256_hex(tenant.api_key.encode()) == row["secret_digest"]
    assert tenant.api_key.removeprefix("af_") not in str(row)


async def test_what_is_another_organisations_is_not_there(
    api: httpx.AsyncClient, stranger_api: httpx.AsyncClient
) -> None:
    await register_echo(api)
    run_id = (await submit(api, value=1))["run_id"]
    await ended(api, run_id)
    await api.post("/api/v1/prompts", json={"name": "secret", "template": "x"})
    await api.post("/api/v1/prompts/deployments", json={"prompt_name": "secret", "stable_version": 1})
    await api.post("/api/v1/budgets", json={"period_type": "daily", "limit_cents": 1})
    own = {
        "/api/v1/workflows/echo": "workflow.not_found",
        f"/api/v1/workflows/runs/{run_id}": "run.not_found",
        f"/api/v1/traces/{run_id}": "trace.not_found",
        "/api/v1/prompts/secret": "prompt.not_found",
        "/api/v1/prompts/secret/1": "prompt.not_found",
        "/api/v1/prompts/deployments/secret": "prompt.not_found",
    }

    for path, code in own.items():
        assert 200 == (await api.get(path)).status_code, path
        problem_of(await stranger_api.get(path), status=404, code=code)
    refused = await stranger_api.post(f"/api/v1/workflows/runs/{run_id}/cancel")
    problem_of(refused, status=404, code="run.not_found")
    wish = {"prompt_name": "secret", "stable_version": 1}
    refused = await stranger_api.post("/api/v1/prompts/deployments", json=wish)
    problem_of(refused, status=404, code="prompt.not_found")
    for path in ("workflows", "workflows/runs", "prompts", "budgets", "budgets/status"):
        assert 1 == len((await api.get(f"/api/v1/{path}")).json()["items"]), path
        assert [] == (await stranger_api.get(f"/api/v1/{path}")).json()["items"], path

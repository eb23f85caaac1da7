"""`python -m api.keys` as an operator runs it, and keys as they are stored."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.tenant_repository import TenantRepository
from cli.embedded.ports import free_port
from tests.integration.api.conftest import Tenant

ROOT = Path(__file__).parents[3]
NAMES = text("SELECT name FROM organisations WHERE org_id = :org_id")


def run_keys(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.keys", *arguments],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def status_with(anonymous: httpx.AsyncClient, api_key: str) -> int:
    return (await anonymous.get("/api/v1/workflows", headers={"X-API-Key": api_key})).status_code


async def test_a_key_is_made_told_once_and_revoked(
    database_url: str, anonymous: httpx.AsyncClient, org_id: str, stranger: Tenant
) -> None:
    created = run_keys(database_url, "create", "--org", org_id, "--org-name", "Acme", "--name", "ci")
    api_key = created.stdout.strip()
    key_id = next(word.rstrip(";") for word in created.stderr.split() if word.startswith("key_"))

    assert 0 == created.returncode, created.stderr
    assert created.stdout == f"{api_key}\n"
    assert api_key.startswith("af_")
    assert api_key not in created.stderr
    assert 200 == await status_with(anonymous, api_key)

    elsewhere = run_keys(database_url, "revoke", "--org", stranger.org_id, key_id)
    assert (1, True) == (elsewhere.returncode, key_id in elsewhere.stderr)
    assert 200 == await status_with(anonymous, api_key)

    assert 0 == run_keys(database_url, "revoke", "--org", org_id, key_id).returncode
    assert 401 == await status_with(anonymous, api_key)
    assert 1 == run_keys(database_url, "revoke", "--org", org_id, key_id).returncode


async def test_keys_are_listed_without_themselves_and_say_what_was_revoked(
    database_url: str, org_id: str, stranger: Tenant
) -> None:
    secrets = [
        run_keys(database_url, "create", "--org", org_id, "--name", name).stdout.strip() for name in ("ada", "bob")
    ]
    listed = [json.loads(line) for line in run_keys(database_url, "list", "--org", org_id).stdout.splitlines()]
    bob = next(key for key in listed if key["name"] == "bob")
    run_keys(database_url, "revoke", "--org", org_id, bob["key_id"])
    everyone = run_keys(database_url, "list").stdout

    again = [json.loads(line) for line in run_keys(database_url, "list", "--org", org_id).stdout.splitlines()]
    by_name = {key["name"]: key for key in again}
    assert {"ada", "bob"} <= set(by_name)
    assert {org_id} == {key["org_id"] for key in again}
    assert (None, True) == (by_name["ada"]["revoked_at"], by_name["bob"]["revoked_at"] is not None)
    for secret, name in zip(secrets, ("ada", "bob"), strict=True):
        assert sha256(secret.encode()).hexdigest()[:12] == by_name[name]["fingerprint"]
        assert secret not in everyone
    assert {org_id, stranger.org_id} <= {json.loads(line)["org_id"] for line in everyone.splitlines()}


@pytest.mark.parametrize("name", ["", " ada", "a\x1b[2J", "a" * 101, "a\nb"])
def test_a_name_that_could_deceive_an_approver_is_refused(database_url: str, name: str) -> None:
    refused = run_keys(database_url, "create", "--org", "acme", "--name", name)

    assert 2 == refused.returncode
    assert "a name is 1 to 100 characters" in refused.stderr


def agentctl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_agentctl_makes_lists_and_revokes_keys(
    database_url: str, anonymous: httpx.AsyncClient, org_id: str
) -> None:
    created = agentctl("key", "create", "--org", org_id, "--name", "ada", DATABASE_URL=database_url)
    api_key = created.stdout.strip()
    let_in = await status_with(anonymous, api_key)
    table = agentctl("key", "list", "--org", org_id, DATABASE_URL=database_url)
    listed = agentctl("key", "list", "--org", org_id, "-o", "json", DATABASE_URL=database_url)
    key_id = next(key["key_id"] for key in json.loads(listed.stdout) if key["name"] == "ada")
    revoked = agentctl("key", "revoke", "--org", org_id, key_id, DATABASE_URL=database_url)
    again = agentctl("key", "revoke", "--org", org_id, key_id, DATABASE_URL=database_url)

    assert (0, 200) == (created.returncode, let_in)
    assert key_id in table.stdout
    assert api_key not in table.stdout + listed.stdout + created.stderr
    assert (0, 1) == (revoked.returncode, again.returncode)
    assert "agentctl key list" in again.stderr
    assert 401 == await status_with(anonymous, api_key)


def test_agentctl_without_stack_and_database_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    refused = agentctl("key", "list", PYTHONPATH=str(ROOT))

    assert 1 == refused.returncode
    assert "start one with `agentctl dev`, or set DATABASE_URL" in refused.stderr


def test_without_a_database_the_command_says_so_in_one_line() -> None:
    nowhere = f"postgresql://nobody:a-password@127.0.0.1:{free_port()}/none"

    done = run_keys(nowhere, "create", "--org", "acme", "--name", "ci")

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("the database refuses or does not answer: ")
    assert "Traceback" not in done.stderr
    assert "a-password" not in done.stderr


@pytest.mark.parametrize("database_url", ["sqlite:///x", "nonsense"])
def test_a_database_url_that_cannot_work_is_refused(database_url: str) -> None:
    done = run_keys(database_url, "create", "--org", "acme", "--name", "ci")

    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("DATABASE_URL")


async def test_a_key_that_is_known_keeps_its_id_and_its_name(database: Database, tenant: Tenant) -> None:
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        key_id = await tenants.add_key(
            org_id=tenant.org_id, name="again", api_key=tenant.api_key, now=SystemClock().now()
        )
        principal = await tenants.find_principal(api_key=tenant.api_key)

    assert tenant.key_id == key_id
    assert principal is not None
    assert (tenant.org_id, tenant.key_id) == (principal.org_id, principal.key_id)


async def test_an_organisation_is_made_once_and_keeps_its_name(database: Database) -> None:
    org_id = new_id("org")
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        for name in ("First", "Second"):
            await tenants.ensure_organisation(org_id=org_id, name=name, now=SystemClock().now())
        row = (await session.execute(NAMES, {"org_id": org_id})).one()

    assert "First" == row.name

"""Limits of organisations as an operator sets them, and as a client meets them."""

import json
import os
import subprocess
import sys

import httpx
import pytest

from agentflow.client import AgentflowClient, ApiRequestFailed
from tests.integration.api.api_server import ApiServer
from tests.integration.api.conftest import Tenant
from tests.integration.api.problems import problem_of

ENDLESS = {"name": "endless", "nodes": [{"id": "hold", "type": "wait", "config": {"event": "never"}}]}
RUNS = "/api/v1/workflows/runs"


def run_limits(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.limits", *arguments],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_run_beyond_the_limits_that_an_operator_set_is_refused_until_there_is_room(
    database_url: str, api: httpx.AsyncClient, tenant: Tenant, server: ApiServer
) -> None:
    made = run_limits(database_url, "set", "--org", tenant.org_id, "--running", "1", "--queued", "1")
    await api.post("/api/v1/workflows", json=ENDLESS)
    first, second, third = [await api.post(RUNS, json={"workflow_name": "endless"}) for _ in range(3)]

    assert (0, 1, 1) == (
        made.returncode,
        *(json.loads(made.stdout)[f"max_{kind}_runs"] for kind in ("running", "queued")),
    )
    assert [None, 1] == [response.json()["queue_place"] for response in (first, second)]
    problem_of(third, status=429, code="run.queue_full")
    assert "10" == third.headers["retry-after"]
    with AgentflowClient(server.url, api_key=tenant.api_key) as client, pytest.raises(ApiRequestFailed) as refusal:
        client.submit_run("endless")
    assert (429, 10.0) == (refusal.value.status, refusal.value.retry_after_seconds)

    for response in (second, first):
        assert 202 == (await api.post(f"{RUNS}/{response.json()['run_id']}/cancel")).status_code


def test_limits_are_set_one_by_one_and_given_back_to_the_settings(database_url: str, org_id: str) -> None:
    run_limits(database_url, "set", "--org", org_id, "--running", "5", "--weight", "2.5")
    changed = run_limits(database_url, "set", "--org", org_id, "--running", "default", "--highest-priority", "3")
    listed = run_limits(database_url, "list")

    expected = {
        "org_id": org_id,
        "max_running_runs": None,
        "max_queued_runs": None,
        "fairness_weight": 2.5,
        "highest_priority": 3,
    }
    assert expected == json.loads(changed.stdout)
    assert expected in [json.loads(line) for line in listed.stdout.splitlines()]


def test_a_limit_that_cannot_be_is_refused(database_url: str, org_id: str) -> None:
    refused = run_limits(database_url, "set", "--org", org_id, "--weight", "0")

    assert (2, "") == (refused.returncode, refused.stdout)
    assert "not between 0.001 and 1000" in refused.stderr

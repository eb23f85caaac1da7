from typing import Any

import httpx
import pytest

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.tenant_repository import TenantRepository, new_api_key
from tests.integration.api.conftest import Tenant
from tests.integration.api.documents import ended, opened_approval
from tests.integration.api.problems import problem_of
from tests.workflows.platform import until
from tests.workflows.world import ACT, World

APPROVALS, RUNS = "/api/v1/approvals", "/api/v1/workflows/runs"


async def waiting(api: httpx.AsyncClient, name: str, **config: Any) -> dict[str, Any]:
    """The approval that a run of a new workflow waits for."""
    node = {"id": "ask", "type": "approval", "config": {"message": "Go on?", "show": {"n": "inputs.n"}, **config}}
    document = {"name": name, "nodes": [node], "outputs": {"approved": "ask.output.approved"}}
    assert 201 == (await api.post("/api/v1/workflows", json=document)).status_code
    submitted = await api.post(RUNS, json={"workflow_name": name, "inputs": {"n": 7}})
    return await opened_approval(api, submitted.json()["run_id"])


def decision(approval: dict[str, Any], what: str = "approve", **more: Any) -> dict[str, Any]:
    return {"decision": what, "subject_digest": approval["subject_digest"], **more}


async def test_an_approval_is_listed_looked_at_and_decided(api: httpx.AsyncClient) -> None:
    approval = await waiting(api, "looked_at")
    path = f"{APPROVALS}/{approval['approval_id']}"

    shown = (await api.get(path)).json()
    decided = await api.post(f"{path}/decision", json=decision(approval, comment="fine"))
    run = await ended(api, approval["run_id"])

    assert ("open", "Go on?", {"n": 7}) == (approval["state"], approval["message"], shown["show"])
    assert 200 == decided.status_code
    assert {"approved": True} == run["outputs"]
    closed = (await api.get(APPROVALS, params={"state": "closed", "run_id": run["run_id"]})).json()["items"]
    assert [("approved", "fine")] == [(item["state"], item["comment"]) for item in closed]
    assert [] == (await api.get(APPROVALS, params={"run_id": run["run_id"]})).json()["items"]


async def test_the_same_key_decides_once_and_another_decision_is_refused(api: httpx.AsyncClient) -> None:
    approval = await waiting(api, "once")
    path = f"{APPROVALS}/{approval['approval_id']}/decision"
    headers = {"Idempotency-Key": "mine"}

    first = await api.post(path, json=decision(approval), headers=headers)
    await ended(api, approval["run_id"])
    again = await api.post(path, json=decision(approval), headers=headers)
    other = await api.post(path, json=decision(approval, "reject"))

    assert (200, 200) == (first.status_code, again.status_code)
    problem_of(other, status=409, code="gate.closed")


async def test_a_decision_on_other_content_or_by_others_is_refused_and_changes_nothing(
    api: httpx.AsyncClient, database: Database, tenant: Tenant
) -> None:
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        now = SystemClock().now()
        await tenants.add_key(org_id=tenant.org_id, name="another", api_key=new_api_key(), now=now)
    approval = await waiting(api, "refused", approvers=["another"])
    path = f"{APPROVALS}/{approval['approval_id']}/decision"

    problem_of(await api.post(path, json=decision(approval)), status=403, code="approval.not_approver")
    open_to_all = await waiting(api, "stale")
    stale = decision({"subject_digest": "0" * 64})
    problem_of(
        await api.post(f"{APPROVALS}/{open_to_all['approval_id']}/decision", json=stale),
        status=409,
        code="approval.stale",
    )

    assert "open" == (await api.get(f"{APPROVALS}/{open_to_all['approval_id']}")).json()["state"]
    for left in (approval, open_to_all):
        await api.post(f"{RUNS}/{left['run_id']}/cancel")
        await ended(api, left["run_id"])


async def test_another_organisation_sees_and_decides_nothing(
    api: httpx.AsyncClient, stranger_api: httpx.AsyncClient
) -> None:
    approval = await waiting(api, "private")
    path = f"{APPROVALS}/{approval['approval_id']}"

    assert [] == (await stranger_api.get(APPROVALS)).json()["items"]
    problem_of(await stranger_api.get(path), status=404, code="gate.not_found")
    problem_of(await stranger_api.post(f"{path}/decision", json=decision(approval)), status=404, code="gate.not_found")
    problem_of(
        await stranger_api.post(f"{RUNS}/{approval['run_id']}/events/x", json={}), status=404, code="run.not_found"
    )
    await api.post(f"{path}/decision", json=decision(approval))
    await ended(api, approval["run_id"])


async def test_a_step_in_doubt_is_listed_looked_at_and_resolved(api: httpx.AsyncClient, world: World) -> None:
    world.script["api"] = ["uncertain"]
    node = {
        "id": "act",
        "type": "tool",
        "config": {"tool_name": ACT, "tool_args": {"who": "api", "class": "at_most_once"}},
    }
    document = {"name": "doubtful", "nodes": [node], "outputs": {"deeds": "act.output.deeds"}}
    assert 201 == (await api.post("/api/v1/workflows", json=document)).status_code
    run_id = (await api.post(RUNS, json={"workflow_name": "doubtful", "inputs": {}})).json()["run_id"]

    async def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await api.get(APPROVALS, params={"run_id": run_id})).json()["items"]
        return found

    (gate,) = await until(listed)
    path = f"{APPROVALS}/{gate['approval_id']}"
    shown, live = (await api.get(path)).json(), (await api.get(f"{RUNS}/{run_id}")).json()
    word = {"resolution": "performed", "subject_digest": gate["subject_digest"], "output": {"deeds": 3}}

    problem_of(await api.post(f"{path}/decision", json=decision(gate)), status=409, code="approval.unfit")
    wrong = {**word, "output": {"deeds": "x"}}
    problem_of(await api.post(f"{path}/resolution", json=wrong), status=422, code="scl.schema_violation")
    stale = {**word, "subject_digest": "0" * 64}
    problem_of(await api.post(f"{path}/resolution", json=stale), status=409, code="approval.stale")
    resolved = await api.post(f"{path}/resolution", json=word)
    run = await ended(api, run_id)

    assert ("in_doubt", {"who": "api", "class": "at_most_once"}) == (gate["kind"], shown["show"]["arguments"])
    assert (1, 1, 0) == (live["in_doubt"], live["nodes"][0]["in_doubt"], run["in_doubt"])
    assert (200, {"deeds": 3}) == (resolved.status_code, run["outputs"])
    problem_of(await api.post(f"{path}/resolution", json=word), status=409, code="gate.closed")


@pytest.mark.parametrize("event_key", ["paid", "paid 42/7"])
async def test_an_event_is_delivered_to_what_waits_for_it(api: httpx.AsyncClient, event_key: str) -> None:
    node = {"id": "paid", "type": "wait", "config": {"event": "{{ inputs.key }}"}}
    document = {"name": "eventful", "nodes": [node], "outputs": {"cents": "paid.output.cents"}}
    await api.post("/api/v1/workflows", json=document)
    run_id = (await api.post(RUNS, json={"workflow_name": "eventful", "inputs": {"key": event_key}})).json()["run_id"]
    path = f"{RUNS}/{run_id}/events/{event_key.replace(' ', '%20').replace('/', '%2F')}"

    async def delivered() -> bool:
        return (await api.post(path, json={"payload": {"cents": 5}})).status_code == 202

    await until(delivered)

    assert {"cents": 5} == (await ended(api, run_id))["outputs"]
    problem_of(await api.post(path, json={}), status=409, code="gate.closed")

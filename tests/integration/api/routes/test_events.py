"""Events over HTTP: what the answer says of them."""

import httpx

from tests.integration.api.documents import ended
from tests.integration.api.problems import problem_of
from tests.workflows.platform import until

APPROVALS, RUNS = "/api/v1/approvals", "/api/v1/workflows/runs"


async def test_an_event_that_comes_early_is_kept_and_taken_when_its_node_waits(api: httpx.AsyncClient) -> None:
    nodes = [
        {"id": "ask", "type": "approval", "config": {"message": "Go on?"}},
        {"id": "paid", "type": "wait", "config": {"event": "paid"}, "depends": ["ask"]},
    ]
    await api.post("/api/v1/workflows", json={"name": "early", "nodes": nodes, "outputs": {"n": "paid.output.n"}})
    run_id = (await api.post(RUNS, json={"workflow_name": "early", "inputs": {}})).json()["run_id"]

    async def asked() -> list[dict[str, str]]:
        found: list[dict[str, str]] = (await api.get(APPROVALS, params={"run_id": run_id})).json()["items"]
        return found

    [approval] = await until(asked, "the approval to open")
    answer = await api.post(f"{RUNS}/{run_id}/events/paid", json={"payload": {"n": 1}})
    problem_of(await api.post(f"{RUNS}/{run_id}/events/piad", json={}), status=404, code="gate.not_found")
    decision = {"decision": "approve", "subject_digest": approval["subject_digest"]}
    await api.post(
        f"{APPROVALS}/{approval['approval_id']}/decision", json=decision, headers={"Idempotency-Key": "decision_1"}
    )

    assert {"n": 1} == (await ended(api, run_id))["outputs"]
    told = answer.json()
    assert (202, "kept") == (answer.status_code, told["became"])
    assert told["kept_until"] is not None
    problem_of(await api.post(f"{RUNS}/{run_id}/events/paid", json={}), status=409, code="gate.closed")

"""Approvals and waits on a real Temporal server: decided once, on what was looked at, by who may; or left to time."""

from typing import Any

import pytest

from activities.payloads import RUNS_QUEUE, RunRef, RunStart
from runs.errors import DecisionStale, GateClosed, GateNotFound, NotApprover
from runs.gate_models import Gate, GateState
from runs.models import RunState
from runs.plan import NodeState
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded, until
from workflows.dag_run import AgentDag
from workflows.gate_service import GateService
from workflows.service import RunRequest


def approval(node_id: str, **config: Any) -> Node:
    return {"id": node_id, "type": "approval", "config": {"message": "Send {{ inputs.text }}?", **config}}


def wait(node_id: str, **config: Any) -> Node:
    return {"id": node_id, "type": "wait", "config": config}


def gates(platform: Platform) -> GateService:
    resources = platform.resources
    return GateService(resources.database, resources.blobs, platform.temporal, resources.clock, platform.signatures)


async def opened(platform: Platform, org_id: str, run_id: str) -> Gate:
    async def look() -> list[Gate]:
        return await gates(platform).list_approvals(org_id=org_id, is_open=True, run_id=run_id, after="", limit=10)

    [gate] = await until(look)
    return gate


async def decide(platform: Platform, gate: Gate, *, approved: bool = True, **changes: Any) -> Gate:
    """A decision; the gate may take a moment to be where it is decided."""
    wish = {
        "org_id": gate.org_id,
        "gate_id": gate.gate_id,
        "approved": approved,
        "subject_digest": str(gate.subject_digest),
        "decision_id": "decision_1",
        "decided_by": "ada",
        "comment": None,
        **changes,
    }
    return await gates(platform).decide(**wish)


async def started(platform: Platform, org_id: str, document: dict[str, Any], **inputs: Any) -> str:
    await platform.register(org_id, document)
    return await platform.submit(org_id, str(document["name"]), {"text": "the letter", **inputs})


async def test_an_approval_waits_shows_its_subject_and_passes_the_decision_on(platform: Platform, org_id: str) -> None:
    document = dag(
        "approved",
        projection("draft", {"text": "inputs.text"}),
        {**approval("ask", show={"draft": "draft.output.text"}), "depends": ["draft"]},
        projection("send", {"by": "ask.output.by", "why": "ask.output.comment"}, depends=["ask"]),
        outputs={"sent": "send.output"},
    )
    run_id = await started(platform, org_id, document)
    gate = await opened(platform, org_id, run_id)
    view = await gates(platform).get_approval(org_id=org_id, gate_id=gate.gate_id)
    live = await platform.service.get_run(org_id=org_id, run_id=run_id)

    await decide(platform, gate, comment="looks good")
    ended = succeeded(await platform.ended(org_id, run_id))

    assert ("Send the letter?", {"draft": "the letter"}) == (gate.message, view.show)
    assert [NodeState.SUCCEEDED, NodeState.RUNNING, NodeState.PENDING] == [node.state for node in live.nodes]
    assert {"sent": {"by": "ada", "why": "looks good"}} == ended.outputs
    closed = await gates(platform).get_approval(org_id=org_id, gate_id=gate.gate_id)
    assert (GateState.APPROVED, "ada", "looks good") == (
        closed.gate.state,
        closed.gate.decided_by,
        closed.gate.comment,
    )
    history = await platform.temporal.get_workflow_handle(run_id).fetch_history()
    assert not any(b"looks good" in event.SerializeToString() for event in history.events)


@pytest.mark.parametrize(("on_reject", "state"), [("fail", RunState.FAILED), ("continue", RunState.SUCCEEDED)])
async def test_a_rejection_fails_the_node_unless_it_is_to_go_on(
    platform: Platform, org_id: str, on_reject: str, state: RunState
) -> None:
    document = dag("rejected", approval("ask", on_reject=on_reject), outputs={"approved": "ask.output.approved"})
    run_id = await started(platform, org_id, document)

    await decide(platform, await opened(platform, org_id, run_id), approved=False)
    view = await platform.ended(org_id, run_id)

    assert state == view.run.state
    if state is RunState.FAILED:
        assert ("approval.rejected", "ask") == (view.run.error_code, view.run.failed_node)
    else:
        assert {"approved": False} == view.outputs


async def test_a_decision_is_taken_once_and_only_by_an_approver_on_what_was_looked_at(
    platform: Platform, org_id: str
) -> None:
    run_id = await started(platform, org_id, dag("guarded", approval("ask", approvers=["ada", "bob"])))
    gate = await opened(platform, org_id, run_id)

    with pytest.raises(NotApprover, match="ada, bob"):
        await decide(platform, gate, decided_by="eve")
    with pytest.raises(DecisionStale):
        await decide(platform, gate, subject_digest="0" * 64)
    with pytest.raises(GateNotFound):
        await decide(platform, gate, org_id="org_other")
    await decide(platform, gate)
    await platform.ended(org_id, run_id)

    again = await decide(platform, gate)
    assert GateState.APPROVED == again.state
    with pytest.raises(GateClosed):
        await decide(platform, gate, approved=False, decision_id="decision_2")
    assert GateState.APPROVED == (await decide(platform, gate)).state


@pytest.mark.parametrize(
    ("on_timeout", "code", "outputs"),
    [
        ("fail", "gate.expired", None),
        ("reject", "approval.rejected", None),
        ("approve", None, {"approved": True}),
    ],
)
async def test_an_approval_that_nobody_decides_ends_as_it_is_told_to(
    platform: Platform, org_id: str, on_timeout: str, code: str | None, outputs: dict[str, Any] | None
) -> None:
    document = dag(
        "late",
        approval("ask", timeout="300ms", on_timeout=on_timeout),
        outputs={"approved": "ask.output.approved"},
    )

    view = await platform.run(org_id, document, {"text": "x"})

    assert (code, outputs) == (view.run.error_code, view.outputs)


async def test_others_may_decide_once_nobody_has_for_some_time(platform: Platform, org_id: str) -> None:
    ask = approval("ask", approvers=["ada"], escalate=[{"after": "200ms", "approvers": ["eve"]}])
    run_id = await started(platform, org_id, dag("escalated", ask))

    async def may_decide() -> bool:
        return "eve" in (await opened(platform, org_id, run_id)).approvers

    await until(may_decide)
    await decide(platform, await opened(platform, org_id, run_id), decided_by="eve")

    succeeded(await platform.ended(org_id, run_id))


async def test_a_cancelled_run_takes_its_approvals_with_it(platform: Platform, org_id: str) -> None:
    run_id = await started(platform, org_id, dag("given_up", approval("ask")))
    gate = await opened(platform, org_id, run_id)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    view = await platform.ended(org_id, run_id)

    assert {"ask": NodeState.CANCELLED} == {node.node_id: node.state for node in view.nodes}
    with pytest.raises(GateClosed):
        await decide(platform, gate)


async def test_a_wait_for_a_time_or_until_an_instant_passes_by_itself(platform: Platform, org_id: str) -> None:
    document = dag(
        "timed",
        wait("pause", **{"for": "100ms"}),
        {**wait("past", until="inputs.then"), "depends": ["pause"]},
        projection("after", {"paused": "pause.status"}, depends=["past"]),
        outputs={"paused": "after.output.paused"},
    )

    view = succeeded(await platform.run(org_id, document, {"then": "2020-01-01T00:00:00Z"}))
    wrong = await platform.run(org_id, document, {"then": "yesterday"})

    assert {"paused": "succeeded"} == view.outputs
    assert "wait.instant_invalid" == wrong.run.error_code


async def test_an_event_brings_what_comes_with_it(platform: Platform, org_id: str) -> None:
    document = dag(
        "eventful",
        wait("payment", event="paid {{ inputs.order }}"),
        projection("book", {"cents": "payment.output.cents"}, depends=["payment"]),
        outputs={"cents": "book.output.cents"},
    )
    run_id = await started(platform, org_id, document, order="42")

    async def deliver() -> bool:
        try:
            await gates(platform).deliver(
                org_id=org_id, run_id=run_id, event_key="paid 42", payload={"cents": 1999}, delivered_by="shop"
            )
        except GateNotFound:
            return False
        return True

    await until(deliver)
    view = succeeded(await platform.ended(org_id, run_id))

    assert {"cents": 1999} == view.outputs
    with pytest.raises(GateClosed):
        await deliver()
    with pytest.raises(GateNotFound):
        await gates(platform).deliver(
            org_id=org_id, run_id=run_id, event_key="paid 43", payload=None, delivered_by="shop"
        )


async def test_an_event_that_does_not_come_fails_or_passes(platform: Platform, org_id: str) -> None:
    fails = await platform.run(org_id, dag("missed", wait("never", event="x", timeout="200ms")), {"text": "x"})
    passes = await platform.run(
        org_id,
        dag("missed_well", wait("never", event="x", timeout="200ms", on_timeout="continue")),
        {"text": "x"},
    )

    assert ("gate.expired", RunState.SUCCEEDED) == (fails.run.error_code, passes.run.state)


async def test_an_approval_outlives_the_history_that_it_was_opened_in(platform: Platform, org_id: str) -> None:
    nodes = [projection("n0", {"value": "0"})]
    nodes += [projection(f"n{n}", {"value": f"n{n - 1}.output.value + 1"}, depends=[f"n{n - 1}"]) for n in range(1, 8)]
    document = dag("moved", approval("ask"), *nodes, outputs={"approved": "ask.output.approved"})
    await platform.register(org_id, document)
    request = RunRequest(
        workflow_name="moved",
        workflow_version=None,
        inputs={"text": "x"},
        budget_micro_usd=None,
        idempotency_key=None,
    )
    run = await platform.service.record(org_id=org_id, request=request)
    reference = RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)
    handle = await platform.temporal.start_workflow(
        AgentDag.run, RunStart(run=reference, history_limit_events=20), id=run.run_id, task_queue=RUNS_QUEUE
    )

    async def all_else_is_done() -> bool:
        return len(await platform.steps(org_id, run.run_id)) == 8

    await until(all_else_is_done)
    gate = await opened(platform, org_id, run.run_id)

    await decide(platform, gate)

    assert {"approved": True} == succeeded(await platform.ended(org_id, run.run_id)).outputs
    latest = await platform.temporal.get_workflow_handle(run.run_id).describe()
    assert handle.first_execution_run_id != latest.run_id


async def test_an_approval_that_nobody_could_look_at_fails(platform: Platform, org_id: str) -> None:
    shown = {f"s{number}": "inputs.text" for number in range(50)}
    asking = {"id": "ask", "type": "approval", "config": {"message": "Well?", "show": shown}}

    view = await platform.run(org_id, dag("vast", asking), {"text": "x" * 100_000})

    assert (RunState.FAILED, "approval.too_large") == (view.run.state, view.run.error_code)

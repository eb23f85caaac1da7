"""What a run may still cost, and what it waits for below, is seen at the run."""

from cas.budget_ledger import BudgetLedger
from runs.models import RunState
from runs.run_view import RunView
from tests.scripted_provider import Hold
from tests.workflows.documents import dag, llm
from tests.workflows.platform import Platform, succeeded, until
from workflows.gate_service import GateService


async def test_a_cancelled_call_that_may_be_billed_stands_beside_the_cost_before_and_after_it_is_written_off(
    platform: Platform, org_id: str
) -> None:
    await platform.prompt(org_id, "ask", "Hold {{ content }}")
    before = len(platform.provider.requests)
    platform.provider.hold_again()
    platform.provider.script(Hold())
    await platform.register(org_id, dag("held", llm("ask", "'it'")))
    run_id = await platform.submit(org_id, "held", budget=1_000_000)
    await platform.provider.received(before + 1)
    under_way = await platform.service.get_run(org_id=org_id, run_id=run_id)
    await platform.service.cancel(org_id=org_id, run_id=run_id)
    ended = await platform.ended(org_id, run_id)

    assert (RunState.CANCELLED, 0) == (ended.run.state, ended.run.cost_micro_usd)
    assert under_way.held_micro_usd > 0

    async def uncertain() -> RunView | None:
        view = await platform.service.get_run(org_id=org_id, run_id=run_id)
        return view if view.uncertain_micro_usd and not view.held_micro_usd else None

    # The step's attempt may end after its run.
    known = await until(uncertain, "the cancelled call to be uncertain")
    assert known.uncertain_micro_usd >= under_way.held_micro_usd

    await platform.rows(
        "UPDATE reservations SET expires_at = now() - interval '9 days' WHERE run_id = :run_id RETURNING 1",
        run_id=run_id,
    )
    async with platform.resources.database.transaction() as session:
        await BudgetLedger(session, platform.resources.clock).sweep()
    later = await platform.service.get_run(org_id=org_id, run_id=run_id)
    assert (0, known.uncertain_micro_usd) == (later.run.cost_micro_usd, later.uncertain_micro_usd)
    states = await platform.rows("SELECT state FROM reservations WHERE run_id = :run_id", run_id=run_id)
    assert {"written_off"} == {row["state"] for row in states}


async def test_what_a_run_far_below_waits_for_is_seen_and_decided_from_the_top(platform: Platform, org_id: str) -> None:
    ask = {"id": "ask", "type": "approval", "config": {"message": "'Sign it?'", "show": {"n": "1"}}}
    await platform.register(org_id, dag("bottom", ask))
    for name, inner in (("middle", "bottom"), ("top", "middle")):
        await platform.register(org_id, dag(name, {"id": "sub", "type": "workflow", "config": {"name": inner}}))
    run_id, other = await platform.submit(org_id, "top"), await platform.submit(org_id, "top")

    async def waits() -> RunView | None:
        view = await platform.service.get_run(org_id=org_id, run_id=run_id)
        return view if view.waiting else None

    view = await until(waits, "the run at the bottom to wait for a person")
    gates = GateService(
        platform.resources.database, platform.resources.blobs, platform.temporal, platform.resources.clock
    )
    (gate,) = await gates.list_approvals(org_id=org_id, is_open=True, run_id=run_id, after="", limit=10)
    assert (gate.gate_id,) == view.waiting
    assert gate.run_id.startswith(f"{run_id}-")
    assert gate.subject_digest is not None
    assert [] == await gates.list_approvals(org_id=f"{org_id}-other", is_open=True, run_id=run_id, after="", limit=10)

    await gates.decide(
        org_id=org_id,
        gate_id=gate.gate_id,
        approved=True,
        subject_digest=gate.subject_digest,
        decision_id="d",
        decided_by="ada",
        comment=None,
    )
    assert () == succeeded(await platform.ended(org_id, run_id)).waiting
    await platform.service.cancel(org_id=org_id, run_id=other)
    await platform.ended(org_id, other)

"""Events that come before their wait, or just when it opens: each is taken once, and none is lost."""

import asyncio
from typing import Any

import pytest

from activities.gate_activities import GateActivities
from activities.gate_payloads import GateCall
from activities.payloads import RunRef
from runs import event_repository
from runs.errors import EventsFull, GateClosed, GateNotFound
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded, until
from tests.workflows.test_gates import decide, gates, opened, wait
from workflows.event_delivery import EventFate
from workflows.gate_service import GateService
from workflows.service import RunRequest

#: Events and openings that meet, each time a little later.
MEETINGS = 40


def held(*nodes: Node) -> list[Node]:
    """The nodes, each after the one before it, and all of them after an approval."""
    ask: Node = {"id": "ask", "type": "approval", "config": {"message": "Go on?"}}
    return [ask, *({**node, "depends": [before["id"]]} for before, node in zip([ask, *nodes], nodes, strict=False))]


async def started(platform: Platform, org_id: str, *nodes: Node, **outputs: str) -> str:
    await platform.register(org_id, dag("early", *nodes, outputs=outputs))
    return await platform.submit(org_id, "early", {"order": "42"})


async def recorded(platform: Platform, org_id: str, *nodes: Node) -> RunRef:
    """A run that is recorded, and whose workflow is never started."""
    name = f"early_{len(nodes)}"
    await platform.register(org_id, dag(name, *nodes))
    request = RunRequest(
        workflow_name=name, workflow_version=None, inputs={}, budget_micro_usd=None, idempotency_key=None
    )
    run = await platform.service.record(org_id=org_id, request=request)
    return RunRef(org_id=org_id, run_id=run.run_id, plan_digest=run.plan_digest, inputs_digest=run.inputs_digest)


async def deliver(service: GateService, org_id: str, run_id: str, key: str, payload: Any = None) -> EventFate:
    return await service.deliver(
        org_id=org_id, run_id=run_id, event_key=key, payload={"n": payload}, delivered_by="shop"
    )


async def kept(platform: Platform, org_id: str) -> list[dict[str, Any]]:
    return await platform.rows(
        "SELECT run_id, event_key, gate_id FROM kept_events WHERE org_id = :org_id ORDER BY event_number", org_id=org_id
    )


async def test_events_that_come_early_are_taken_one_by_each_wait_and_the_oldest_first(
    platform: Platform, org_id: str
) -> None:
    waits = held(wait("one", event="paid {{ inputs.order }}"), wait("two", event="paid {{ inputs.order }}"))
    run_id = await started(platform, org_id, *waits, one="one.output.n", two="two.output.n")
    gate = await opened(platform, org_id, run_id)

    fates = [await deliver(gates(platform), org_id, run_id, "paid 42", number) for number in (1, 2, 3)]
    await decide(platform, gate)
    view = succeeded(await platform.ended(org_id, run_id))

    assert all(fate.kept_until is not None for fate in fates)
    assert {"one": 1, "two": 2} == view.outputs
    assert [] == await kept(platform, org_id)
    with pytest.raises(GateClosed):
        await deliver(gates(platform), org_id, run_id, "paid 42")


async def test_what_comes_while_a_wait_is_open_is_delivered_and_what_comes_after_is_kept(
    platform: Platform, org_id: str
) -> None:
    ask: Node = {"id": "ask", "type": "approval", "config": {"message": "Go on?"}, "depends": ["one"]}
    waits = [wait("one", event="go"), ask, {**wait("two", event="go"), "depends": ["ask"]}]
    run_id = await started(platform, org_id, *waits, one="one.output.n", two="two.output.n")

    async def is_open() -> bool:
        return bool(await platform.rows("SELECT 1 FROM gates WHERE run_id = :run_id", run_id=run_id))

    await until(is_open, "the first wait to open")
    first = await deliver(gates(platform), org_id, run_id, "go", 1)
    gate = await opened(platform, org_id, run_id)
    second = await deliver(gates(platform), org_id, run_id, "go", 2)
    await decide(platform, gate)

    assert first.kept_until is None
    assert second.kept_until is not None
    assert {"one": 1, "two": 2} == succeeded(await platform.ended(org_id, run_id)).outputs


async def test_an_event_that_no_node_can_wait_for_is_refused(platform: Platform, org_id: str) -> None:
    literal = await recorded(platform, org_id, *held(wait("pause", event="go")))
    none = await recorded(platform, org_id, projection("a", {}))
    resources = platform.resources
    unkind = GateService(resources.database, resources.blobs, platform.temporal, resources.clock, keep_hours=0)

    for service, run, key in ((gates(platform), literal, "og"), (gates(platform), none, "go"), (unkind, literal, "go")):
        with pytest.raises(GateNotFound):
            await deliver(service, org_id, run.run_id, key)

    assert [] == await kept(platform, org_id)


async def test_a_run_keeps_no_more_than_its_share(
    platform: Platform, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await recorded(platform, org_id, *held(wait("pause", event="go")))
    monkeypatch.setattr(event_repository, "MAX_KEPT_EVENTS", 3)

    fates = await asyncio.gather(
        *(deliver(gates(platform), org_id, run.run_id, "go") for _ in range(8)), return_exceptions=True
    )

    assert 5 == sum(isinstance(fate, EventsFull) for fate in fates)
    monkeypatch.setattr(event_repository, "MAX_KEPT_EVENTS", 100)
    monkeypatch.setattr(event_repository, "MAX_KEPT_BYTES", 3 * len(b'{"n":null}') + 100)
    with pytest.raises(EventsFull):
        await deliver(gates(platform), org_id, run.run_id, "go", "x" * 100)
    assert 3 == len(await kept(platform, org_id))


async def test_a_gate_that_is_opened_again_has_the_same_event_and_another_organisation_none(
    platform: Platform, org_id: str
) -> None:
    run = await recorded(platform, org_id, *held(wait("pause", event="go")))
    for number in (1, 2):
        await deliver(gates(platform), org_id, run.run_id, "go", number)
    activities, call = GateActivities(platform.resources), GateCall(run=run, node_id="pause", outputs={})

    openings = await asyncio.gather(*(activities.open_gate(call) for _ in range(6)))

    assert 1 == len({opening.delivery for opening in openings})
    assert openings[0].delivery is not None
    [first, second] = await kept(platform, org_id)
    assert (openings[0].gate_id, None) == (first["gate_id"], second["gate_id"])


async def test_a_kept_event_is_given_up_when_its_time_is_over(platform: Platform, org_id: str) -> None:
    run = await recorded(platform, org_id, *held(wait("pause", event="go")))
    for number in (1, 2):
        await deliver(gates(platform), org_id, run.run_id, "go", number)
    await platform.rows(
        "UPDATE kept_events SET expires_at = now() - interval '1 second' WHERE org_id = :org_id RETURNING 1",
        org_id=org_id,
    )

    opening = await GateActivities(platform.resources).open_gate(GateCall(run=run, node_id="pause", outputs={}))

    assert opening.delivery is None


@pytest.mark.parametrize("lead", [0, 1])
async def test_an_event_and_a_wait_that_meet_neither_lose_the_event_nor_deliver_it_twice(
    platform: Platform, org_id: str, lead: int
) -> None:
    """Many times over, in the database where it is decided: kept and found by the gate, or the gate found open."""
    activities, delivery = GateActivities(platform.resources), gates(platform)._events  # the decision itself
    runs = [await recorded(platform, org_id, *held(wait("pause", event="go"))) for _ in range(MEETINGS)]
    nodes = {"pause"}

    async def event(run: RunRef, turns: int) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        new = event_repository.NewEvent(
            org_id=org_id, run_id=run.run_id, event_key="go", payload_digest="d", size_bytes=1, delivered_by="shop"
        )
        return await delivery._kept_until(new, nodes)  # as above

    async def opening(run: RunRef, turns: int) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await activities.open_gate(GateCall(run=run, node_id="pause", outputs={}))

    met = [
        await asyncio.gather(event(run, at if lead else 0), opening(run, 0 if lead else at))
        for at, run in enumerate(runs)
    ]

    for kept_until, gate in met:
        # Kept, and the gate has it; or the gate was open, and the event goes to the run itself.
        assert (kept_until is not None) == (gate.delivery is not None)


async def test_events_that_come_while_runs_begin_to_wait_all_arrive_once(platform: Platform, org_id: str) -> None:
    chain = [projection("a", {}), {**wait("pause", event="go"), "depends": ["a"]}]
    await platform.register(org_id, dag("early", *chain, outputs={"n": "pause.output.n"}))

    async def meet(number: int) -> tuple[str, int]:
        run_id = await platform.submit(org_id, "early", {})
        for _ in range(number * 40):
            await asyncio.sleep(0)
        await deliver(gates(platform), org_id, run_id, "go", number)
        return run_id, number

    met = await asyncio.gather(*(meet(number) for number in range(20)))

    for run_id, number in met:
        assert {"n": number} == succeeded(await platform.ended(org_id, run_id)).outputs

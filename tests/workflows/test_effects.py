"""What follows on an attempt that ended without a word, for each class of effects; on real Temporal and PostgreSQL."""

from typing import Any

import pytest

from activities import retry_posture
from activities.tools.tool import Probed
from runs.models import RunState, StepState
from tests.workflows.documents import QUICK_RETRY, Node, dag
from tests.workflows.platform import Platform, succeeded
from tests.workflows.world import ACT, WRITE, World


def act(who: str, effect: str, *, node_id: str = "act", **more: Any) -> Node:
    """A step whose attempts have a second each."""
    config = {"tool_name": ACT, "tool_args": {"who": who, "class": effect}}
    return {"id": node_id, "type": "tool", "config": config, "retry": QUICK_RETRY, "timeout": {"run": "1s"}, **more}


def acting(who: str, effect: str, **more: Any) -> dict[str, Any]:
    return dag("acting", act(who, effect, **more), outputs={"deeds": "act.output.deeds"})


async def test_a_pure_step_whose_attempt_was_lost_runs_again_and_is_counted(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["deaf"]

    view = succeeded(await platform.run(org_id, acting(org_id, "pure")))
    world.release(org_id)

    (step,) = await platform.steps(org_id, view.run.run_id)
    assert (2, 1) == (len(world.deeds[org_id]), step.possible_duplicates)
    assert (StepState.COMMITTED, 2, 2) == (step.state, step.attempt, step.fence)


async def test_an_idempotent_step_whose_attempt_was_lost_runs_again_with_the_same_key(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["deaf", "uncertain"]

    view = succeeded(await platform.run(org_id, acting(org_id, "idempotent")))
    world.release(org_id)

    (step,) = await platform.steps(org_id, view.run.run_id)
    assert (3, 1) == (len(world.deeds[org_id]), len(set(world.deeds[org_id])))
    assert (StepState.COMMITTED, 3, 0) == (step.state, step.attempt, step.possible_duplicates)
    assert world.deeds[org_id][0].startswith("agentflow-")


@pytest.mark.parametrize("lost", ["deaf", "uncertain", "broken"])
async def test_a_step_that_can_be_asked_after_is_recorded_when_it_was_done(
    platform: Platform, world: World, org_id: str, lost: str
) -> None:
    world.script[org_id], world.findings[org_id] = [lost], [Probed(state="done", output={"deeds": 7})]

    retry = {"attempts": 3, "initial": 0.05, "max": 0.1}
    # Only who is deaf has to run into it; the others may be slow.
    limit = {"run": "2s" if lost == "deaf" else "1m"}
    view = succeeded(await platform.run(org_id, acting(org_id, "probe", retry=retry, timeout=limit)))
    world.release(org_id)

    (step,) = await platform.steps(org_id, view.run.run_id)
    assert ({"deeds": 7}, 1) == (view.outputs, len(world.deeds[org_id]))
    assert (StepState.COMMITTED, 2, 0) == (step.state, step.attempt, step.possible_duplicates)


async def test_a_step_that_can_be_asked_after_is_performed_when_it_was_not_done(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id], world.findings[org_id] = ["uncertain"], [Probed(state="not_done")]

    view = succeeded(await platform.run(org_id, acting(org_id, "probe")))

    assert {"deeds": 2} == view.outputs


async def test_what_a_tool_reports_as_not_done_is_tried_again_whatever_its_class(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["refused", "refused"]

    view = succeeded(await platform.run(org_id, acting(org_id, "at_most_once")))

    (step,) = await platform.steps(org_id, view.run.run_id)
    assert ({"deeds": 1}, 3, StepState.COMMITTED) == (view.outputs, step.attempt, step.state)


async def test_a_step_that_is_cancelled_while_it_acts_stays_in_doubt(
    platform: Platform, world: World, org_id: str
) -> None:
    world.script[org_id] = ["hangs"]
    await platform.register(org_id, acting(org_id, "at_most_once", timeout={"run": "1m"}))
    run_id = await platform.submit(org_id, "acting")
    await world.reached(org_id)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    view = await platform.ended(org_id, run_id)

    (step,) = await platform.steps(org_id, run_id)
    assert (RunState.CANCELLED, StepState.IN_DOUBT) == (view.run.state, step.state)
    assert (1, [1]) == (view.in_doubt, [node.in_doubt for node in view.nodes])


async def test_a_step_whose_attempt_is_deaf_is_put_in_doubt_when_its_run_is_cancelled(
    platform: Platform, world: World, org_id: str
) -> None:
    """As when the worker is gone: nobody but the end of the run can say it."""
    world.script[org_id] = ["deaf"]
    await platform.register(org_id, acting(org_id, "at_most_once", timeout={"run": "2s"}, retry={"attempts": 1}))
    run_id = await platform.submit(org_id, "acting")
    await world.reached(org_id)

    await platform.service.cancel(org_id=org_id, run_id=run_id)
    view = await platform.ended(org_id, run_id)
    (step,) = await platform.steps(org_id, run_id)
    world.release(org_id)

    assert (RunState.CANCELLED, StepState.IN_DOUBT, 1) == (view.run.state, step.state, view.in_doubt)


async def test_an_effect_and_its_record_are_one_commit_whatever_dies_in_between(
    platform: Platform, world: World, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_posture, "_UNEXPECTED_WAIT_SECONDS", 0.05)
    world.script[org_id] = ["killed", "killed"]
    config = {"tool_name": WRITE, "tool_args": {"who": org_id}}
    retry = {"attempts": 1, "initial": 0.05, "max": 0.1}
    document = dag(
        "writing", {"id": "write", "type": "tool", "config": config, "retry": retry}, outputs={"v": "write.output"}
    )

    view = succeeded(await platform.run(org_id, document))

    rows = await platform.rows("SELECT version FROM records WHERE org_id = :org_id", org_id=org_id)
    (step,) = await platform.steps(org_id, view.run.run_id)
    assert (3, [{"version": 1}]) == (len(world.deeds[org_id]), rows)
    assert ({"v": {"version": 1}}, 3) == (view.outputs, step.attempt)

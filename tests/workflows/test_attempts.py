"""Which attempts of a step count, on a real Temporal server: `attempts` is about what the step does."""

from typing import Any

import pytest

from activities import retry_posture
from runs.models import RunState
from tests.workflows.documents import dag, large_map
from tests.workflows.platform import Platform, succeeded
from tests.workflows.world import ACT, World

TWICE = {"attempts": 2, "initial": 0.05, "max": 0.1}


def acting(who: str, **more: Any) -> dict[str, Any]:
    config = {"tool_name": ACT, "tool_args": {"who": who, "class": "pure"}}
    return dag("acting", {"id": "act", "type": "tool", "config": config, "retry": TWICE, **more})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is away is asked again soon."""
    monkeypatch.setattr(retry_posture, "_UNEXPECTED_WAIT_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_a_database_that_is_away_uses_up_no_attempts(platform: Platform, world: World, org_id: str) -> None:
    world.script[org_id] = ["away", "away", "refused", "away"]

    view = succeeded(await platform.run(org_id, acting(org_id)))

    assert (5, 1) == (view.nodes[0].attempts, len(world.deeds[org_id]))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("how", "code"), [("refused", "tool.failed"), ("broken", "step.unexpected")], ids=["an error", "a defect"]
)
async def test_a_step_ends_with_the_last_of_the_attempts_that_count(
    platform: Platform, world: World, org_id: str, how: str, code: str
) -> None:
    world.script[org_id] = ["away", how, "away", how, "never"]

    view = await platform.run(org_id, acting(org_id))

    assert (RunState.FAILED, code) == (view.run.state, view.run.error_code)
    assert ["never"] == world.script[org_id]


@pytest.mark.parametrize(
    ("limit", "attempts"), [("1s", 2), ("4s", 1)], ids=["before a heartbeat is due", "after heartbeats"]
)
async def test_an_attempt_that_runs_out_of_its_time_counts(
    platform: Platform, world: World, org_id: str, limit: str, attempts: int
) -> None:
    world.script[org_id] = [*["deaf"] * attempts, "never"]
    retry = {"attempts": attempts, "initial": 0.05, "max": 0.1}

    view = await platform.run(org_id, acting(org_id, timeout={"run": limit}, retry=retry))
    world.release(org_id)

    assert (RunState.FAILED, "step.timeout") == (view.run.state, view.run.error_code)
    assert f"ran into its time limit: raise `timeout.run`, which is {limit[0]} s" in str(view.run.error_message)
    assert ["never"] == world.script[org_id]


async def test_a_batch_of_items_has_the_attempts_of_its_node(
    platform: Platform, org_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_posture, "_UNEXPECTED_WAIT_SECONDS", 0.05)
    each = large_map("each", "inputs.numbers", {"v": "item"}, batch=50)
    document = dag("batches", {**each, "retry": {"attempts": 2}}, outputs={"each": "each.output"})
    await platform.register(org_id, document)
    broken: list[int] = []

    async def defect(*_: Any, **__: Any) -> Any:
        broken.append(1)
        raise RuntimeError("a defect")

    monkeypatch.setattr("activities.map_activities.MapJournal.recorded", defect)
    view = await platform.run(org_id, document, {"numbers": list(range(40))})

    assert (RunState.FAILED, "step.unexpected", 2) == (view.run.state, view.run.error_code, len(broken))
